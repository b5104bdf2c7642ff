#include "imgtool/formats/qcow2/qcow2.hpp"

#include "base/endian.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::qcow2;
using img::test::need;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

Bytes make_image(const CreateParameters& parameters)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    const auto made = qcow2::create(file, parameters);
    if (!made) {
        FAIL(made.error().message);
    }
    return bytes;
}

std::unique_ptr<ChainDisk> open_image(const Bytes& bytes)
{
    std::vector<Layer> layers;
    layers.push_back(
        {.image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::use)),
         .path = "memory",
         .format = "qcow2"});
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

CheckReport check(const Bytes& bytes, Repair repair = Repair::none)
{
    auto image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::check));
    return need(image->check(repair, [](const std::string&) {}));
}

void check_round_trip(const CreateParameters& parameters)
{
    const Bytes bytes = make_image(parameters);
    std::vector<u8> mirror;
    {
        auto disk = open_image(bytes);
        mirror = test::scribble(*disk, 1, 60, 40000);
        CHECK(test::read_all(*disk) == mirror);
    }

    auto again = open_image(bytes);
    CHECK(test::read_all(*again) == mirror);
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).leaks == 0);
}

} // namespace

TEST_CASE("qcow2: a new image reads as zero and passes its check")
{
    const Bytes bytes = make_image({.size = 1 << 20});

    auto disk = open_image(bytes);

    CHECK(disk->size() == 1048576);
    CHECK(test::read_all(*disk) == std::vector<u8>(1048576));
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).image_end_offset == 262144);
}

TEST_CASE("qcow2: what is written is read, whatever the cluster size and refcount width")
{
    CreateParameters p{.size = 1'000'000};
    SECTION("64 KiB clusters, 16 bits") {}
    SECTION("512 byte clusters, 1 bit")
    {
        p.cluster_size = 512;
        p.refcount_bits = 1;
    }
    SECTION("512 byte clusters, 64 bits")
    {
        p.cluster_size = 512;
        p.refcount_bits = 64;
    }
    SECTION("4 KiB clusters, 4 bits")
    {
        p.cluster_size = 4096;
        p.refcount_bits = 4;
    }
    SECTION("2 MiB clusters, 32 bits")
    {
        p.cluster_size = 2 << 20;
        p.refcount_bits = 32;
    }
    SECTION("version 2")
    {
        p.version = 2;
        p.cluster_size = 1024;
    }
    SECTION("lazy refcounts")
    {
        p.lazy_refcounts = true;
    }
    SECTION("preallocated")
    {
        p.cluster_size = 1024;
        p.preallocation = CreateParameters::Preallocation::metadata;
    }
    SECTION("extended entries, 16 KiB clusters")
    {
        p.cluster_size = 16384;
        p.extended_l2 = true;
    }
    SECTION("extended entries, preallocated")
    {
        p.extended_l2 = true;
        p.preallocation = CreateParameters::Preallocation::metadata;
    }
    check_round_trip(p);
}

TEST_CASE("qcow2: compressed clusters share host clusters and are replaced when written")
{
    const Codec codec = GENERATE(Codec::raw_deflate, Codec::zstd);
    const Bytes bytes = make_image({.size = 65536 * 4, .codec = codec});
    {
        auto disk = open_image(bytes);
        Packer packer{codec};
        std::vector<u8> packed(65535);
        const std::vector<u8> sevens(65536, 7);
        const std::size_t n = packer.pack(sevens, packed);
        REQUIRE(n > 0);
        for (const u64 block : {0, 65536, 131072}) {
            REQUIRE(disk->layers()[0].image->write_packed(GuestOffset{block},
                                                          std::span{packed}.first(n)));
        }
        REQUIRE(disk->flush());
    }
    CHECK(check(bytes).compressed_clusters == 3);
    CHECK(check(bytes).image_end_offset == 6 * 65536); // all three in the sixth cluster

    auto disk = open_image(bytes);
    const std::vector<u8> nine{9};
    REQUIRE(disk->write(65536 + 5, nine));
    REQUIRE(disk->flush());

    std::vector<u8> expected(65536 * 3, 7);
    expected.resize(65536 * 4);
    expected[65536 + 5] = 9;
    CHECK(test::read_all(*disk) == expected);
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).leaks == 0);
    CHECK(check(bytes).compressed_clusters == 2);
}

TEST_CASE("qcow2: zeroes take no room, and give back the cluster that was there")
{
    const Bytes bytes = make_image({.size = 65536 * 2});
    auto disk = open_image(bytes);
    REQUIRE(disk->write(0, std::vector<u8>(65536, 1)));

    REQUIRE(disk->write_zeroes(0, 65536 * 2));

    const auto extent = need(disk->find(0, 65536 * 2, MapDetail::exact)).extent;
    CHECK(extent.kind == Extent::Kind::zero);
    CHECK_FALSE(extent.reserved);
    CHECK(extent.length == 65536);
    CHECK(need(disk->find(65536, 65536, MapDetail::exact)).extent.kind == Extent::Kind::backing);
    CHECK(test::read_all(*disk) == std::vector<u8>(65536 * 2));
    disk.reset();
    CHECK(check(bytes).leaks == 0);
    CHECK(check(bytes).allocated_clusters == 0);
}

TEST_CASE("qcow2: a table that maps the guest onto the image's own header is not written through")
{
    const Bytes bytes = make_image({.size = 65536, .cluster_size = 65536});
    {
        auto disk = open_image(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(512, 1)));
        REQUIRE(disk->flush());
    }
    const u64 l1 = base::load_be<u64>(*bytes, 40);
    const u64 l2 = base::load_be<u64>(*bytes, l1) & entry::offset_mask;
    base::store_be<u64>(*bytes, l2, l1 | entry::copied); // the L1 table as guest data

    auto disk = open_image(bytes);
    const auto written = disk->write(0, std::vector<u8>(512, 0xff));

    REQUIRE_FALSE(written);
    CHECK(written.error().code == base::Errc::corrupt);
    CHECK(base::load_be<u64>(*bytes, l1) == (l2 | entry::copied));
    CHECK((base::load_be<u64>(*bytes, 72) & incompatible::corrupt) != 0);
    // From now on it is only read.
    CHECK_FALSE(open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::use));
}

TEST_CASE("qcow2: tables whose entries all name one block end a search for free clusters")
{
    const Bytes bytes = make_image({.size = 1 << 20});
    for (u64 i = 0; i < 8192; ++i) {
        base::store_be<u64>(*bytes, 0x10000 + i * 8, 0x20000);
    }
    std::fill_n(bytes->begin() + 0x20000, 65536, u8{1});

    auto disk = open_image(bytes);
    const auto written = disk->write(0, std::vector<u8>(512, 1));

    REQUIRE_FALSE(written);
    CHECK(written.error().code == base::Errc::corrupt);
}

TEST_CASE("qcow2: a full disk is an error, and what was there is still there")
{
    const Bytes bytes = make_image({.size = 65536 * 64});
    std::vector<Layer> layers;
    layers.push_back({.image = need(open_alone(
                          kDriver, std::make_unique<MemorySource>(bytes, 65536 * 8), OpenFor::use)),
                      .path = "memory",
                      .format = "qcow2"});
    auto disk = std::make_unique<ChainDisk>(std::move(layers), false);
    REQUIRE(disk->write(0, std::vector<u8>(65536, 5)));
    REQUIRE(disk->flush());

    const auto written = disk->write(65536, std::vector<u8>(65536 * 32, 6));

    REQUIRE_FALSE(written);
    CHECK(written.error().code == base::Errc::io);
    disk.reset();
    std::vector<u8> first(65536);
    REQUIRE(open_image(bytes)->read(0, first));
    CHECK(first == std::vector<u8>(65536, 5));
    CHECK(check(bytes).corruptions == 0);
}

TEST_CASE("qcow2 check: leaks and lost counts are told and repaired")
{
    const Bytes bytes = make_image({.size = 65536 * 4});
    {
        auto disk = open_image(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(65536, 5)));
        REQUIRE(disk->flush());
    }
    const std::size_t data_count = 0x20000 + 5 * 2; // clusters 0 to 3 are tables, 4 the L2 table
    SECTION("a leak")
    {
        base::store_be<base::u16>(*bytes, data_count + 2, 1);
        bytes->resize(65536 * 7);
        CHECK(check(bytes).leaks == 1);
        CHECK(check(bytes, Repair::leaks).leaks_fixed == 1);
    }
    SECTION("a used cluster counted as free")
    {
        base::store_be<base::u16>(*bytes, data_count, 0);
        CHECK(check(bytes).corruptions == 2); // the count, and the flag that disagrees
        CHECK(check(bytes, Repair::all).corruptions_fixed == 1);
    }
    SECTION("a count too high")
    {
        base::store_be<base::u16>(*bytes, data_count, 3);
        CHECK(check(bytes).leaks == 1);
        CHECK(check(bytes, Repair::leaks).leaks_fixed == 1);
    }
    SECTION("a refcount table that leads nowhere")
    {
        base::store_be<u64>(*bytes, 0x10000, 0x1234'5600);
        CHECK(check(bytes).corruptions > 0);
        CHECK(check(bytes, Repair::all).corruptions_fixed > 0);
    }
    CHECK(check(bytes).corruptions == 0);
    CHECK(check(bytes).leaks == 0);
    std::vector<u8> first(65536);
    REQUIRE(open_image(bytes)->read(0, first));
    CHECK(first == std::vector<u8>(65536, 5));
}

TEST_CASE("qcow2: an image left dirty is repaired when it is opened for writing")
{
    const Bytes bytes = make_image({.size = 65536 * 4, .lazy_refcounts = true});
    {
        auto disk = open_image(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(65536, 5)));
        REQUIRE(disk->flush());
    }
    base::store_be<base::u16>(*bytes, 0x20000 + 5 * 2, 0); // as a lazy writer leaves it
    base::store_be<u64>(*bytes, 72, incompatible::dirty);

    auto disk = open_image(bytes);

    CHECK(base::load_be<u64>(*bytes, 72) == 0);
    CHECK(check(bytes).corruptions == 0);
}
