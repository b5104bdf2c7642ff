#include "imgtool/formats/qcow2/layout.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/qcow2_support.hpp"

using namespace img;
using namespace img::qcow2;
using namespace img::test;

namespace {

Status amend(ChainDisk& disk, const CreateSettings& settings)
{
    OpenContext context;
    return disk.layers()[0].image->amend(settings, context, false);
}

std::string refusal(ChainDisk& disk, const CreateSettings& settings)
{
    auto done = amend(disk, settings);
    return done ? "" : done.error().message;
}

void is_clean(const Bytes& bytes)
{
    const CheckReport report = check_qcow2(bytes);
    CHECK(report.corruptions == 0);
    CHECK(report.leaks == 0);
}

} // namespace

TEST_CASE("qcow2 amend: counts of any width tell the same, and the disk is what it was")
{
    const Bytes bytes = make_qcow2({.size = 1'000'448, .cluster_size = 512});
    std::vector<u8> mirror;
    {
        auto disk = open_qcow2(bytes);
        mirror = scribble(*disk, 1, 60, 20000);
        for (const char* bits : {"1", "64", "8", "2", "32", "16"}) {
            REQUIRE(amend(*disk, {{"refcount_bits", bits}}));
            REQUIRE(disk->write(1000, std::vector<u8>(5000, 3)));
            std::fill_n(mirror.begin() + 1000, 5000, u8{3});
        }
        REQUIRE(disk->layers()[0].image->create_snapshot("s", {}));
        CHECK(refusal(*disk, {{"refcount_bits", "1"}}).starts_with("Cannot decrease refcount"));
        CHECK(read_all(*disk) == mirror);
    }
    is_clean(bytes);
}

TEST_CASE("qcow2 amend: to version 2 and back")
{
    const Bytes bytes = make_qcow2({.size = 1'000'448, .cluster_size = 512, .refcount_bits = 8});
    auto disk = open_qcow2(bytes);
    std::vector<u8> mirror = scribble(*disk, 1, 60, 20000);
    REQUIRE(disk->layers()[0].image->create_snapshot("s", {}));
    REQUIRE(disk->write_zeroes(0, 100'000));
    std::fill_n(mirror.begin(), 100'000, u8{0});

    CHECK(refusal(*disk, {{"compat", "0.10"}}) == "compat=0.10 requires refcount_bits=16");
    REQUIRE(amend(*disk, {{"compat", "0.10"}, {"refcount_bits", "16"}}));
    CHECK(read_all(*disk) == mirror);
    CHECK(refusal(*disk, {{"lazy_refcounts", "on"}}) ==
          "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 "
          "or greater)");
    disk.reset();
    is_clean(bytes);
    CHECK(need(parse_header(*bytes)).version == 2);

    disk = open_qcow2(bytes);
    REQUIRE(amend(*disk, {{"compat", "1.1"}, {"lazy_refcounts", "on"}, {"size", "2000384"}}));
    CHECK(disk->size() == 2'000'384);
    CHECK(refusal(*disk, {{"compat", "0.10"}}) == "Internal snapshots prevent downgrade of image");
    CHECK(refusal(*disk, {{"compat", "4"}}) == "Unknown compatibility level 4");
    CHECK(refusal(*disk, {{"backing_file", "x"}}).starts_with("Cannot amend the backing file"));
    disk.reset();
    is_clean(bytes);
}

TEST_CASE("qcow2 amend: cut at any write, the image is sound and its disk what it was")
{
    const auto start = [] {
        const Bytes bytes = make_qcow2(
            {.size = 200'192, .cluster_size = 512, .backing_name = "b", .backing_format = "raw"});
        auto disk = open_qcow2(bytes);
        (void)scribble(*disk, 1, 60, 20000);
        return *bytes;
    }();
    const auto recording = record_run(kDriver, start, [](ChainDisk& disk, Recording& r) {
        r.flushed[r.log.size()] = read_all(disk);
        REQUIRE(amend(disk, {{"refcount_bits", "64"}}));
        REQUIRE(amend(disk, {{"refcount_bits", "16"}, {"compat", "0.10"}}));
        REQUIRE(amend(disk, {{"compat", "1.1"}}));
    });
    CHECK(check_prefixes(recording, 1) > 30);
    CHECK(check_losses(recording, 4) > 30);
}
