#include "imgtool/formats/parallels/parallels.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/parallels/parallels_layout.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::parallels;
using img::test::need;
using Bytes = std::shared_ptr<std::vector<u8>>;

namespace {

constexpr u64 kCluster = 4096;

Bytes make(u64 size)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{};
    REQUIRE(kDriver.create(
        file, {{"size", std::to_string(size)}, {"cluster_size", std::to_string(kCluster)}},
        context));
    return bytes;
}

/// The older kind, whose entries count sectors; its clusters begin behind the table.
Bytes make_old(u64 size)
{
    Header header;
    header.extended = false;
    header.tracks = kCluster / kSector;
    header.entries = static_cast<u32>((size + kCluster - 1) / kCluster);
    header.sectors = size / kSector;
    auto bytes = std::make_shared<std::vector<u8>>(header.table_end());
    std::ranges::copy(encode_header(header), bytes->begin());
    return bytes;
}

ChainDisk disk_of(const Bytes& bytes)
{
    std::vector<Layer> layers;
    layers.push_back({.image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes))),
                      .path = "memory",
                      .format = "parallels"});
    return ChainDisk{std::move(layers), false};
}

template <class T>
void put(const Bytes& bytes, u64 at, T value)
{
    base::store_le<T>(*bytes, at, value);
}

CheckReport check(const Bytes& bytes, Repair repair, std::string* problems = nullptr)
{
    auto image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::check));
    return need(image->check(repair, [&](const std::string& problem) {
        if (problems != nullptr) {
            *problems += problem + "\n";
        }
    }));
}

} // namespace

TEST_CASE("parallels: what a header cannot say is refused")
{
    struct Lie {
        u64 at;
        u32 value;
        std::string message;
    };
    for (const Lie& lie : {
             Lie{0, 1, "Image not in Parallels format"},
             Lie{16, 3, "Image not in Parallels format"},
             Lie{28, 0, "Invalid image: Zero sectors per track"},
             Lie{28, 5'000'000, "Invalid image: Too big cluster"},
             Lie{32, 0x7fff'ffff, "Catalog too large"},
             Lie{32, 0x1fff'ffff, "the block table of the Parallels image ends past the file"},
             Lie{40, 0x7fff'ffff, "Could not refresh total sector count: File too large"},
             Lie{44, 0x746f'6e59,
                 "parallels: Image was not closed correctly; cannot be opened "
                 "read/write"},
         }) {
        const Bytes bytes = make(100'000);
        put(bytes, lie.at, lie.value);
        auto image = open_alone(kDriver, std::make_unique<MemorySource>(bytes));
        REQUIRE(!image);
        CHECK(image.error().message == lie.message);
    }
}

TEST_CASE("parallels: what is written is there when opened again")
{
    const Bytes bytes = GENERATE(make(900'096), make_old(900'096));
    std::vector<u8> mirror;
    {
        ChainDisk disk = disk_of(bytes);
        mirror = test::scribble(disk, 1, 100, 20'000);
        CHECK(base::load_le<u32>(*bytes, kFieldInUse) == kInUse);
    }
    CHECK(base::load_le<u32>(*bytes, kFieldInUse) == 0);
    ChainDisk disk = disk_of(bytes);
    CHECK(test::read_all(disk) == mirror);
    std::string problems;
    CHECK(check(bytes, Repair::none, &problems).corruptions == 0);
    CHECK(problems.empty());
}

TEST_CASE("parallels: a disk beyond its table reads as zero and is not written there")
{
    const Bytes bytes = make(100'000);
    put<u32>(bytes, 32, 3); // entries
    ChainDisk disk = disk_of(bytes);
    CHECK(test::read_all(disk) == std::vector<u8>(100'352));
    CHECK(disk.write(0, test::noise(100, 1)));
    CHECK(!disk.write(3 * kCluster, test::noise(100, 1)));
}

TEST_CASE("parallels: check tells of clusters outside, shared and left over, and repairs them")
{
    const Bytes bytes = make(100'000);
    {
        ChainDisk disk = disk_of(bytes);
        REQUIRE(disk.write(0, test::noise(3 * kCluster, 1)));
    }
    bytes->resize(bytes->size() + 5000);
    put<u32>(bytes, 64 + 4 * 5, 1000);
    put<u32>(bytes, 64 + 4 * 7, 1);
    std::string problems;
    const CheckReport report = check(bytes, Repair::none, &problems);
    CHECK(report.corruptions == 2);
    CHECK(report.image_end_offset == 1001 * kCluster);
    CHECK(problems == "ERROR cluster 5 is outside image\nERROR cluster 7 is used twice\n");

    CHECK(check(bytes, Repair::all).corruptions_fixed == 2);
    const CheckReport after = check(bytes, Repair::none);
    CHECK(after.corruptions == 0);
    CHECK(after.leaks == 0);
    CHECK(after.allocated_clusters == 4);
    ChainDisk disk = disk_of(bytes);
    const std::vector<u8> now = test::read_all(disk);
    CHECK(std::equal(now.begin(), now.begin() + kCluster, now.begin() + 7 * kCluster));
}

TEST_CASE("parallels: a dirty bitmap does not survive a write, unless it is necessary")
{
    const u64 flags = GENERATE(u64{0}, u64{1}, u64{2});
    const Bytes bytes = make(100'000);
    const u64 at = bytes->size();
    bytes->resize(at + kCluster);
    put<u64>(bytes, kFieldExtension, at / kSector);
    put<u64>(bytes, at, 0xab23'4cef'23dc'ea87);
    put<u64>(bytes, at + 24, 0x2038'5fae'252c'b34a);
    put<u64>(bytes, at + 32, flags);
    const std::vector<u8> before{bytes->begin() + static_cast<std::ptrdiff_t>(at), bytes->end()};
    CHECK(check(bytes, Repair::none).leaks == 1);
    {
        ChainDisk disk = disk_of(bytes);
        CHECK(static_cast<bool>(disk.write(0, test::noise(100, 1))) == (flags != 1));
    }
    CHECK((base::load_le<u64>(*bytes, kFieldExtension) == 0) == (flags == 0));
    if (flags != 0) {
        CHECK(std::equal(before.begin(), before.end(),
                         bytes->begin() + static_cast<std::ptrdiff_t>(at)));
    }
}

TEST_CASE("parallels crash: cut anywhere, an image repairs to what was flushed")
{
    auto recording = test::record_writes(kDriver, *make(600'064), 4100, 1);
    recording.mended = true; // the image says that it was in use

    CHECK(test::check_prefixes(recording, 17) > 20);
    CHECK(test::check_losses(recording, 2) > 50);
}
