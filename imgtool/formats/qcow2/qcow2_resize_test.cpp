#include "imgtool/formats/raw/raw.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/qcow2_support.hpp"

using namespace img;
using namespace img::qcow2;
using namespace img::test;

namespace {

void is_clean(const Bytes& bytes)
{
    const CheckReport report = check_qcow2(bytes);
    CHECK(report.corruptions == 0);
    CHECK(report.leaks == 0);
}

} // namespace

TEST_CASE("qcow2 resize: what is cut off is zero when the disk grows again, the rest is kept")
{
    const Bytes bytes = make_qcow2({.size = 1'000'448, .cluster_size = 512});
    auto disk = open_qcow2(bytes);
    const std::vector<u8> all(1'000'448, 5);
    REQUIRE(disk->write(0, all));
    for (const u64 size : {300'032, 5'000'192, 70'144, 1'000'448, 512, 40'000'000}) {
        REQUIRE(disk->resize(size, Preallocate::none));
        CHECK(disk->size() == size);
    }
    std::vector<u8> expected(512, 5);
    expected.resize(40'000'000);
    CHECK(read_all(*disk) == expected);
    CHECK_FALSE(disk->resize(1000, Preallocate::none));
    CHECK_FALSE(disk->resize(u64{1} << 62, Preallocate::none));
    disk.reset();
    is_clean(bytes);
}

TEST_CASE("qcow2 resize: snapshots keep their size and content")
{
    const Bytes bytes = make_qcow2({.size = 100'352, .cluster_size = 4096});
    auto disk = open_qcow2(bytes);
    const std::vector<u8> all(100'352, 5);
    REQUIRE(disk->write(0, all));
    Image& image = *disk->layers()[0].image;
    REQUIRE(image.create_snapshot("s", {}));
    REQUIRE(disk->resize(50'176, Preallocate::none));
    REQUIRE(disk->resize(200'192, Preallocate::none));
    std::vector<u8> expected(50'176, 5);
    expected.resize(200'192);
    CHECK(read_all(*disk) == expected);
    REQUIRE(image.apply_snapshot("s"));
    CHECK(read_all(*disk) == all);
    disk.reset();
    is_clean(bytes);
}

TEST_CASE("qcow2 resize: a longer backing file does not show in what is new")
{
    CreateParameters p{.size = 50'176, .cluster_size = 4096};
    p.extended_l2 = GENERATE(false, true);
    p.cluster_size = p.extended_l2 ? 65536 : 4096; // the disk ends in a subcluster, in a cluster
    p.backing_name = "b";
    p.backing_format = "raw";
    const Bytes top = make_qcow2(p);
    std::vector<Layer> layers;
    layers.push_back({.image = open_qcow2_image(top), .path = "memory", .format = "qcow2"});
    layers.push_back({.image = need(open_alone(raw::kDriver, std::make_unique<MemorySource>(
                                                                 std::vector<u8>(90'112, 7)))),
                      .path = "b",
                      .format = "raw"});
    ChainDisk disk{std::move(layers), false};

    REQUIRE(disk.resize(120'320, Preallocate::none));

    std::vector<u8> expected(50'176, 7);
    expected.resize(120'320);
    CHECK(read_all(disk) == expected);
}

TEST_CASE("qcow2 resize: with its metadata preallocated all that is new has clusters")
{
    const Bytes bytes = make_qcow2({.size = 65536, .cluster_size = 4096});
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(disk->resize(1 << 20, Preallocate::metadata));
        CHECK(read_all(*disk) == std::vector<u8>(1 << 20));
    }
    const CheckReport report = check_qcow2(bytes);
    CHECK(report.allocated_clusters == 240);
    CHECK(report.leaks == 0);
}

TEST_CASE("qcow2 resize: preallocation begins in the cluster that the disk ended in")
{
    const Bytes bytes = make_qcow2({.size = 66'048, .cluster_size = 65536});
    const auto allocated = [&] { return check_qcow2(bytes).allocated_clusters; };
    REQUIRE(open_qcow2(bytes)->resize(70'656, Preallocate::reserve));
    CHECK(allocated() == 1);
    const std::size_t length = bytes->size();
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(disk->write(66'048, std::vector<u8>(4608, 1)));
        REQUIRE(disk->resize(80'384, Preallocate::write));
        std::vector<u8> expected(80'384);
        std::fill_n(expected.begin() + 66'048, 4608, u8{1});
        CHECK(read_all(*disk) == expected);
    }
    CHECK(allocated() == 1);
    CHECK(bytes->size() == length);
}

TEST_CASE("qcow2 resize: cut at any write, the image is sound and keeps what stays")
{
    const auto start = [] {
        const Bytes bytes = make_qcow2({.size = 200'192, .cluster_size = 512});
        auto disk = open_qcow2(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(200'192, 5)));
        return *bytes;
    }();
    const auto recording = record_run(kDriver, start, [](ChainDisk& disk, Recording&) {
        REQUIRE(disk.resize(60'416, Preallocate::none));
        REQUIRE(disk.resize(3'000'320, Preallocate::none));
        REQUIRE(disk.resize(1024, Preallocate::none));
    });
    CHECK(check_prefixes(recording, 1) > 15);
    CHECK(check_losses(recording, 4) > 30);
}
