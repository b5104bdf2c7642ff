#include "imgtool/formats/vpc/vpc.hpp"

#include "imgtool/formats/raw/raw.hpp"
#include "imgtool/formats/vpc/vpc_image.hpp"
#include "imgtool/formats/vpc/vpc_test_image.hpp"
#include "imgtool/open.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::vpc;
using img::test::need;
using vpc::test::kTableAt;
using vpc::test::make_small;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

Bytes shared(std::vector<u8> bytes)
{
    return std::make_shared<std::vector<u8>>(std::move(bytes));
}

std::unique_ptr<Image> open_bytes(const Bytes& bytes)
{
    return need(open_alone(kDriver, std::make_unique<MemorySource>(bytes)));
}

/// The image, over a raw one of `parent` when that is given.
std::unique_ptr<ChainDisk> open_disk_in(const Bytes& bytes, const Bytes& parent = nullptr)
{
    std::vector<Layer> layers;
    layers.push_back({.image = open_bytes(bytes), .path = "memory", .format = "vpc"});
    if (parent != nullptr) {
        layers.push_back(
            {.image = need(open_alone(raw::kDriver, std::make_unique<MemorySource>(parent))),
             .path = "parent",
             .format = "raw"});
    }
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

Bytes created(const CreateSettings& settings)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{.identity = &Identity::reproducible()};
    REQUIRE(kDriver.create(file, need(complete_settings(kDriver, settings)), context));
    return bytes;
}

std::string refusal(std::vector<u8> bytes, OpenContext context = {})
{
    auto image = kDriver.open(std::make_unique<MemorySource>(std::move(bytes)), context);
    return image ? "accepted" : image.error().message;
}

/// check() with what it said.
std::string checked(const Bytes& bytes, Repair repair = Repair::none)
{
    std::string text;
    const auto report = need(
        open_bytes(bytes)->check(repair, [&](const std::string& line) { text += line + "\n"; }));
    return text + std::to_string(report.corruptions) + " " + std::to_string(report.leaks) + " " +
           std::to_string(report.leaks_fixed);
}

u32 entry(const Bytes& bytes, u64 block)
{
    return base::load_be<u32>(*bytes, kTableAt + 4 * block);
}

} // namespace

TEST_CASE("vpc: what is written is read again, from every kind of disk")
{
    const auto bytes = GENERATE(as<Bytes>{}, shared(make_small({.size = 300'032})),
                                shared(make_small({.size = 300'032, .block_size = 512})),
                                shared(make_small({.size = 99'840, .block_size = 65536})),
                                created({{"size", "300000"}, {"subformat", "fixed"}}),
                                created({{"size", "3000000"}}));
    std::vector<u8> mirror;
    {
        auto disk = open_disk_in(bytes);
        mirror = img::test::scribble(*disk, 1, 200, 20'000);
        CHECK(img::test::read_all(*disk) == mirror);
    }
    CHECK(img::test::read_all(*open_disk_in(bytes)) == mirror);
    CHECK(checked(bytes) == "0 0 0");
    CHECK(has_footer_cookie(std::span{*bytes}.last(512)));
}

TEST_CASE("vpc: a differencing disk holds the sectors written, and no others")
{
    const auto parent = shared(img::test::noise(60'000, 5));
    const auto original = *parent;
    const auto bytes = shared(make_small({.size = 100'352, .type = DiskType::differencing}));
    std::vector<u8> mirror;
    {
        auto disk = open_disk_in(bytes, parent);
        mirror = img::test::scribble(*disk, 2, 150, 9'000);
        CHECK(img::test::read_all(*disk) == mirror);
    }
    CHECK(img::test::read_all(*open_disk_in(bytes, parent)) == mirror);
    CHECK(*parent == original);
    CHECK(checked(bytes) == "0 0 0");
}

TEST_CASE("vpc: a write into a differencing disk copies the rest of its sectors only")
{
    const auto parent = shared(std::vector<u8>(8192, 0x11));
    const auto bytes = shared(make_small({.size = 8192, .type = DiskType::differencing}));
    const u64 block_at = bytes->size() - 512;
    const std::vector<u8> data(600, 0x22);
    REQUIRE(open_disk_in(bytes, parent)->write(4096 + 100, data));

    CHECK(entry(bytes, 0) == kUnallocated);
    CHECK(entry(bytes, 1) == block_at / 512);
    CHECK((*bytes)[block_at] == 0xc0); // sectors 0 and 1
    CHECK((*bytes)[block_at + 1] == 0);
    CHECK((*bytes)[block_at + 512 + 99] == 0x11);
    CHECK((*bytes)[block_at + 512 + 100] == 0x22);
    CHECK((*bytes)[block_at + 512 + 1023] == 0x11);
    CHECK((*bytes)[block_at + 512 + 1024] == 0);

    auto image = open_bytes(bytes);
    const auto own = need(image->map({4096}, 4096, MapDetail::exact));
    CHECK(own.kind == Extent::Kind::data);
    CHECK(own.length == 1024);
    CHECK(need(image->map({4096 + 1024}, 9999, MapDetail::exact)).kind == Extent::Kind::backing);
}

TEST_CASE("vpc: a differencing disk names its parent")
{
    const auto name_of = [](std::vector<std::pair<u32, std::string>> locators) {
        return open_bytes(shared(make_small({.size = 4096,
                                             .type = DiskType::differencing,
                                             .locators = std::move(locators)})))
            ->info()
            .backing_name;
    };
    CHECK(name_of({}) == "parent.vhd");
    CHECK(name_of({{platform::relative, "../up.vhd"}}) == "../up.vhd");
    CHECK(name_of({{platform::url, "/abs.vhd"}, {platform::relative, "rel.vhd"}}) == "rel.vhd");
    CHECK(name_of({{platform::url, "/abs.vhd"}}) == "/abs.vhd");
}

TEST_CASE("vpc: a disk's creator decides which of its sizes counts")
{
    const auto size_with = [](std::string_view creator, Geometry geometry) {
        auto bytes = make_small({.size = 1 << 20});
        Footer footer = need(parse_footer(std::span{bytes}.first<512>()));
        std::ranges::copy(creator, footer.creator.begin());
        footer.geometry = geometry;
        std::ranges::copy(encode_footer(footer), bytes.begin());
        return open_bytes(shared(bytes))->size();
    };
    const Geometry small{10, 4, 17};
    for (const char* creator : {"win ", "qem2", "d2v ", "tap\0", "CTXS"}) {
        CHECK(size_with({creator, 4}, small) == 1 << 20);
    }
    for (const std::string_view creator : {"vpc ", "qemu", "vs  ", "xxxx"}) {
        CHECK(size_with(creator, small) == 10 * 4 * 17 * 512);
        CHECK(size_with(creator, kLargestGeometry) == 1 << 20);
    }
}

TEST_CASE("vpc: the rule for the size can be chosen")
{
    auto bytes = make_small({.size = 1 << 20});
    Footer footer = need(parse_footer(std::span{bytes}.first<512>()));
    footer.geometry = {10, 4, 17};
    std::ranges::copy(encode_footer(footer), bytes.begin());
    const auto size_by = [&](const std::string& rule) {
        OpenContext context{.options = {{"force_size_calc", rule}}};
        return need(kDriver.open(std::make_unique<MemorySource>(bytes), context))->size();
    };
    CHECK(size_by("chs") == 10 * 4 * 17 * 512);
    CHECK(size_by("current_size") == 1 << 20);
    footer.geometry = kLargestGeometry; // says nothing
    std::ranges::copy(encode_footer(footer), bytes.begin());
    CHECK(size_by("chs") == 1 << 20);
    CHECK(refusal(bytes, {.options = {{"force_size_calc", "huh"}}}) ==
          "Invalid size calculation mode: 'huh'");
    CHECK(refusal(bytes, {.options = {{"foo", "1"}}}) ==
          "Block format 'vpc' does not support the option 'foo'");
}

TEST_CASE("vpc: new disks are as large as their geometry, unless told otherwise")
{
    CHECK(open_bytes(created({{"size", "10485760"}}))->size() == 10'514'432);
    CHECK(open_bytes(created({{"size", "10485760"}, {"force_size", "on"}}))->size() == 10'485'760);
    CHECK(open_bytes(created({{"size", "1000"}, {"force_size", "on"}}))->size() == 1024);
    CHECK(open_bytes(created({{"size", "0"}}))->size() == 0);
    CHECK(created({{"size", "3000000"}})->size() == 2560);
    CHECK(*created({{"size", "3000000"}}) == *created({{"size", "3000000"}})); // the same identity
}

TEST_CASE("vpc: a differencing disk reads its parent, by whichever of its names leads to one")
{
    const img::test::TempDir dir;
    const Uuid uuid{1, 2, 3};
    const auto parent = shared(make_small({.size = 8192, .uuid = uuid}));
    REQUIRE(open_disk_in(parent)->write(0, std::vector<u8>(8192, 0x31)));
    img::test::write_file(dir / "parent.vhd", *parent);
    const auto outcome = [&](const std::vector<std::pair<u32, std::string>>& locators,
                             const Uuid& wanted) {
        const auto child = shared(make_small({.size = 8192,
                                              .type = DiskType::differencing,
                                              .locators = locators,
                                              .parent_uuid = wanted}));
        // Sector 3 is its own: a block of 8 sectors behind its bitmap, in front of the footer.
        std::vector<u8> block(512 + 4096, 0x77);
        std::fill_n(block.begin(), 512, u8{0});
        block[0] = 0x10;
        base::store_be<u32>(*child, kTableAt, static_cast<u32>(child->size() / 512 - 1));
        child->insert(child->end() - 512, block.begin(), block.end());
        img::test::write_file(dir / "child.vhd", *child);
        auto disk = open_disk({.path = dir / "child.vhd", .read_only = true});
        std::vector<u8> bytes(8192);
        const auto read = disk ? disk.value()->read(0, bytes) : Status{disk.error()};
        std::vector<u8> good(8192, 0x31);
        std::fill_n(good.begin() + 3 * 512, 512, u8{0x77});
        return !read ? read.error().message : bytes == good ? "good" : "wrong bytes";
    };
    CHECK(outcome({{platform::relative, "parent.vhd"}}, uuid) == "good");
    CHECK(outcome({{platform::relative, "gone/parent.vhd"}}, uuid) == "good"); // by the header's
    CHECK(outcome({{platform::relative, "gone.vhd"}, {platform::absolute, "C:/vm/parent.vhd"}},
                  Uuid{}) == "good");
    CHECK(outcome({}, Uuid{9}) == "the parent 'parent.vhd' is not the disk that this one was made "
                                  "from: its data may not fit");
    std::filesystem::remove(dir / "parent.vhd");
    CHECK(outcome({{platform::relative, "gone.vhd"}}, uuid).find("gone.vhd") != std::string::npos);
}

TEST_CASE("vpc: images that lie are refused")
{
    const auto good = make_small({.size = 8192});
    CHECK(refusal(good) == "accepted");
    CHECK(refusal({}) == "File too small for a VHD header");
    CHECK(refusal(std::vector<u8>(100)) == "invalid VPC image");
    CHECK(refusal(std::vector<u8>(good.begin() + 512, good.end())) == "invalid VPC image");

    auto bytes = good;
    base::store_be<u32>(bytes, 512 + 28, 1); // entries
    CHECK(refusal(bytes) == "Page table too small");
    base::store_be<u32>(bytes, 512 + 28, 0x7fffffff);
    CHECK(refusal(bytes) == "Max Table Entries too large (2147483647)");

    const std::string truncated = "block-vpc: free_data_block_offset points after the end of file. "
                                  "The image has been truncated.";
    bytes = good;
    base::store_be<u64>(bytes, 512 + 16, ~u64{0}); // the table's place
    CHECK(refusal(bytes) == truncated);
    bytes = good;
    base::store_be<u32>(bytes, kTableAt, 0xfffffffe);
    CHECK(refusal(bytes) == truncated);

    bytes = make_small({.size = u64{3} << 40, .block_size = 1u << 31});
    CHECK(refusal(bytes) == "Could not open 'memory': File too large");
    bytes = make_small(
        {.size = 4096, .type = DiskType::differencing, .locators = {{platform::relative, "a"}}});
    base::store_be<u32>(bytes, 512 + 576 + 8, 1 << 20); // the locator's length
    CHECK(refusal(bytes) == "parent locator of 1048576 bytes");
}

TEST_CASE("vpc: a block that lies on metadata is not written to")
{
    auto bytes = make_small({.size = 4096});
    bytes.resize(16384);
    base::store_be<u32>(bytes, kTableAt, 2);
    const auto file = shared(bytes);
    auto disk = open_disk_in(file);
    const auto done = disk->write(0, std::vector<u8>(10));
    REQUIRE_FALSE(done);
    CHECK(done.error().message == "vpc: block 0 at sector 2 lies on metadata");
    CHECK_FALSE(disk->write_zeroes(0, 4096));
    CHECK(std::equal(bytes.begin(), bytes.end(), file->begin()));
    CHECK(checked(file).ends_with("1 1 0"));
}

TEST_CASE("vpc: check finds blocks that share bytes, and a footer that is gone")
{
    const auto file = shared(make_small({.size = 12288}));
    {
        auto disk = open_disk_in(file);
        REQUIRE(disk->write(0, std::vector<u8>(12288, 7)));
    }
    CHECK(checked(file) == "0 0 0");
    const auto whole = *file;

    base::store_be<u32>(*file, kTableAt + 4, entry(file, 0) + 1);
    CHECK(checked(file).ends_with("overlap\n1 0 0"));

    *file = whole;
    file->resize(file->size() - 512);
    CHECK(checked(file).ends_with("0 1 0"));
    CHECK(checked(file, Repair::leaks).ends_with("0 0 1"));
    CHECK(*file == whole);

    file->insert(file->end() - 512, 5120, u8{1});
    CHECK(checked(file) == "Leaked 5120 bytes between the last block and the footer\n0 1 0");
    CHECK(checked(file, Repair::all).ends_with("0 0 1"));
    CHECK(*file == whole);
}

TEST_CASE("vpc: what is behind the blocks of a foreign image stays")
{
    auto bytes = make_small({.size = 4096});
    std::vector<u8> batmap(1024, 0x77);
    bytes.insert(bytes.end() - 512, batmap.begin(), batmap.end());
    const auto file = shared(bytes);
    const u64 at = bytes.size() - 512 - 1024;
    REQUIRE(open_disk_in(file)->write(0, std::vector<u8>(10, 1)));
    CHECK(
        std::equal(batmap.begin(), batmap.end(), file->begin() + static_cast<std::ptrdiff_t>(at)));
    CHECK(entry(file, 0) == (at + 1024) / 512);
}

TEST_CASE("vpc: a fixed disk cut short reads zeroes there, and takes no writes")
{
    auto bytes = created({{"size", "300000"}, {"subformat", "fixed"}, {"force_size", "on"}});
    bytes->erase(bytes->begin(), bytes->begin() + 100'352);
    auto disk = open_disk_in(bytes);
    CHECK(disk->size() == 300'032);
    CHECK(disk->write(0, std::vector<u8>(512, 3)));
    CHECK_FALSE(disk->write(250'000, std::vector<u8>(512, 3)));
    CHECK(img::test::read_all(*disk)[299'999] == 0);
}

TEST_CASE("vpc crash: killed at any write, an image is sound and has what was flushed")
{
    const auto type = GENERATE(DiskType::dynamic, DiskType::differencing);
    const auto recording =
        img::test::record_writes(kDriver, make_small({.size = 600'064, .type = type}), 4100, 1);

    CHECK(recording.log.size() > 500);
    CHECK(img::test::check_prefixes(recording, 3) > 150);
}

TEST_CASE("vpc crash: with writes between flushes lost at random, the same holds")
{
    const auto type = GENERATE(DiskType::dynamic, DiskType::differencing);
    const auto recording =
        img::test::record_writes(kDriver, make_small({.size = 600'064, .type = type}), 4100, 2);

    CHECK(img::test::check_losses(recording, 3) > 60);
}
