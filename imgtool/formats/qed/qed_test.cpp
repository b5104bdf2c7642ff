#include "imgtool/formats/qed/qed.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/qed/qed_layout.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::qed;
using img::test::need;
using Bytes = std::shared_ptr<std::vector<u8>>;

namespace {

constexpr u64 kCluster = 4096;
constexpr u64 kL1 = kCluster;

Bytes make(u64 size, const std::string& backing = {})
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{};
    CreateSettings settings{
        {"size", std::to_string(size)}, {"cluster_size", "4096"}, {"table_size", "1"}};
    if (!backing.empty()) {
        settings.emplace_back("backing_file", backing);
        settings.emplace_back("backing_fmt", "raw");
    }
    REQUIRE(kDriver.create(file, settings, context));
    return bytes;
}

std::unique_ptr<Image> open(const Bytes& bytes, OpenFor purpose = OpenFor::use)
{
    return need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), purpose));
}

ChainDisk disk_of(const Bytes& bytes)
{
    std::vector<Layer> layers;
    layers.push_back({.image = open(bytes), .path = "memory", .format = "qed"});
    return ChainDisk{std::move(layers), false};
}

void put(const Bytes& bytes, u64 at, u64 value)
{
    base::store_le<u64>(*bytes, at, value);
}

u64 get(const Bytes& bytes, u64 at)
{
    return base::load_le<u64>(*bytes, at);
}

CheckReport check(const Bytes& bytes, Repair repair)
{
    auto image = open(bytes, OpenFor::check);
    return need(image->check(repair, [](const std::string&) {}));
}

} // namespace

TEST_CASE("qed: what a header cannot say is refused")
{
    struct Lie {
        u64 at;
        u64 value;
        std::string message;
    };
    for (const Lie& lie : {
             Lie{0, 0, "Image not in QED format"},
             Lie{4, 0x1'0000'0800, "QED cluster size is invalid"},
             Lie{4, 0x3'0000'1000, "QED table size is invalid"},
             Lie{16, 0x18, "Unsupported QED features: 18"},
             Lie{40, 0, "QED table offset is invalid"},
             Lie{40, 4097, "QED table offset is invalid"},
             Lie{40, 8192, "QED table offset is invalid"},
             Lie{48, 513, "QED image size is invalid"},
             Lie{48, 0x4000'0200, "QED image size is invalid"},
         }) {
        const Bytes bytes = make(100'000);
        put(bytes, lie.at, lie.value);
        auto image = open_alone(kDriver, std::make_unique<MemorySource>(bytes));
        REQUIRE(!image);
        CHECK(image.error().message == lie.message);
    }
    const Bytes bytes = make(100'000, "base");
    put(bytes, 56, 0x10'0000'1000); // the name's offset and length
    CHECK(open_alone(kDriver, std::make_unique<MemorySource>(bytes)).error().message ==
          "QED backing filename offset is invalid");
}

TEST_CASE("qed: what is written is there when opened again")
{
    const Bytes bytes = make(5'000'192);
    std::vector<u8> mirror;
    {
        ChainDisk disk = disk_of(bytes);
        mirror = test::scribble(disk, 1, 150, 60'000);
        CHECK(get(bytes, 16) == feature::need_check);
    }
    CHECK(get(bytes, 16) == 0);
    ChainDisk disk = disk_of(bytes);
    CHECK(test::read_all(disk) == mirror);
    CHECK(check(bytes, Repair::none).corruptions == 0);
    CHECK(check(bytes, Repair::none).leaks == 0);
}

TEST_CASE("qed: an image that was not closed is repaired before it is written")
{
    const Bytes bytes = make(100'000);
    {
        ChainDisk disk = disk_of(bytes);
        REQUIRE(disk.write(0, test::noise(2 * kCluster, 1)));
    }
    const u64 l2 = get(bytes, kL1);
    put(bytes, l2 + 8, 0x1000'0000); // far behind the file
    put(bytes, 16, feature::need_check);
    CHECK(check(bytes, Repair::none).corruptions == 1);
    CHECK(open(bytes, OpenFor::check)->info().dirty);

    CHECK(!open(bytes)->info().dirty);
    CHECK(get(bytes, l2 + 8) == 0);
    CHECK(get(bytes, 16) == 0);
}

TEST_CASE("qed: check counts shared and lost clusters, and those at the end are given back")
{
    const Bytes bytes = make(100'000);
    {
        ChainDisk disk = disk_of(bytes);
        REQUIRE(disk.write(0, test::noise(3 * kCluster, 1)));
    }
    const u64 l2 = get(bytes, kL1);
    const u64 end = bytes->size();
    put(bytes, l2 + 16, 0);
    CHECK(check(bytes, Repair::none).leaks == 1);
    CHECK(check(bytes, Repair::leaks).leaks_fixed == 1);
    CHECK(bytes->size() == end - kCluster);
    CHECK(check(bytes, Repair::none).leaks == 0);
    put(bytes, l2 + 16, get(bytes, l2));
    CHECK(check(bytes, Repair::none).corruptions == 1);
    put(bytes, kL1 + 8, l2);
    CHECK(check(bytes, Repair::all).corruptions == 2);
}

TEST_CASE("qed: the backing file's name can be changed, and zeroes hide what it has")
{
    const Bytes bytes = make(100'352, "base");
    auto image = open(bytes);
    CHECK(image->info().backing_name == "base");
    CHECK(image->info().backing_format == "raw");
    CHECK(need(image->place_zeroes(GuestOffset{kCluster}, 2 * kCluster + 5)) == 2 * kCluster);
    CHECK(need(image->map(GuestOffset{kCluster}, 99'999, MapDetail::fast)).kind ==
          Extent::Kind::zero);
    CHECK(need(image->map(GuestOffset{0}, 99'999, MapDetail::fast)).kind == Extent::Kind::backing);
    REQUIRE(image->set_backing("another", "qcow2"));
    CHECK(image->info().backing_name == "another");
    CHECK(!image->set_backing(std::string(4090, 'x'), ""));

    CHECK(need(image->make_empty()));
    CHECK(need(image->map(GuestOffset{kCluster}, 99'999, MapDetail::fast)).kind ==
          Extent::Kind::backing);
    image.reset();
    CHECK(bytes->size() == 2 * kCluster);
    CHECK(open(bytes)->info().backing_name == "another");
    CHECK(open(bytes)->info().backing_format.empty());
}

TEST_CASE("qed: a disk grows with zeroes and does not shrink")
{
    const Bytes bytes = make(3 * kCluster, "base");
    {
        auto image = open(bytes);
        REQUIRE(image->resize(10 * kCluster, Preallocate::none));
        CHECK(image->size() == 10 * kCluster);
        const Extent extent = need(image->map(GuestOffset{3 * kCluster}, 999'999, MapDetail::fast));
        CHECK(extent.kind == Extent::Kind::zero);
        CHECK(extent.length == 7 * kCluster);
        CHECK(image->resize(kCluster, Preallocate::none).error().message ==
              "Shrinking images is currently not supported");
        CHECK(image->resize(11 * kCluster, Preallocate::write).error().message ==
              "Unsupported preallocation mode 'full'");
        CHECK(image->resize(u64{1} << 40, Preallocate::none).error().message ==
              "Invalid image size specified");
    }
    CHECK(open(bytes)->size() == 10 * kCluster);
    CHECK(check(bytes, Repair::none).corruptions == 0);
}

TEST_CASE("qed: a table cannot send writes into the L1 table")
{
    const Bytes bytes = make(100'000);
    {
        ChainDisk disk = disk_of(bytes);
        REQUIRE(disk.write(0, test::noise(kCluster, 1)));
    }
    put(bytes, get(bytes, kL1), kL1);
    ChainDisk disk = disk_of(bytes);
    CHECK(!disk.write(0, test::noise(512, 1)));
    CHECK(!disk.write_zeroes(0, 512));
}

TEST_CASE("qed crash: cut anywhere, an image is sound and has what was flushed")
{
    const auto recording = test::record_writes(kDriver, *make(2'200'064), 20'500, 1);

    CHECK(test::check_prefixes(recording, 17) > 20);
    CHECK(test::check_losses(recording, 2) > 20);
}
