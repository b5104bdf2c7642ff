#include "imgtool/ops/compare.hpp"

#include "imgtool/tests/qcow2_support.hpp"

using namespace img;
using img::test::make_qcow2;
using img::test::noise;
using img::test::open_qcow2;

namespace {

constexpr u64 kSize = u64{1} << 20;

std::unique_ptr<ChainDisk> disk_of(u64 size)
{
    return open_qcow2(make_qcow2({.size = size}));
}

void write(ChainDisk& disk, u64 at, std::span<const u8> bytes)
{
    const auto done = disk.write(at, bytes);
    REQUIRE(done);
}

} // namespace

TEST_CASE("compare: written zeroes are the same as holes, but not strictly")
{
    auto a = disk_of(kSize);
    auto b = disk_of(kSize);
    write(*a, 65536, std::vector<u8>(65536));
    write(*a, kSize - 512, noise(512, 2)); // else the whole of one disk is one hole
    write(*b, kSize - 512, noise(512, 2));

    CHECK(compare(*a, *b, {}).outcome == Comparison::Outcome::identical);
    const Comparison strict = compare(*a, *b, {.strict = true});
    CHECK(strict.outcome == Comparison::Outcome::status_differs);
    CHECK(strict.offset == 65536);
}

TEST_CASE("compare: the first sector that differs is told")
{
    auto a = disk_of(kSize);
    auto b = disk_of(kSize);
    auto bytes = noise(300000, 1);
    write(*a, 0, bytes);
    bytes[200001] ^= 1;
    write(*b, 0, bytes);

    const Comparison found = compare(*a, *b, {});

    CHECK(found.outcome == Comparison::Outcome::content_differs);
    CHECK(found.offset == 199680);
    CHECK_FALSE(found.overhang);
}

TEST_CASE("compare: what lies past the end of the other disk must be zero")
{
    auto a = disk_of(kSize);
    auto b = disk_of(kSize * 2);

    Comparison found = compare(*a, *b, {});
    CHECK(found.outcome == Comparison::Outcome::identical);
    CHECK(found.overhang);
    CHECK(compare(*a, *b, {.strict = true}).outcome == Comparison::Outcome::sizes_differ);

    write(*b, kSize + 1024, noise(1, 5));
    found = compare(*b, *a, {});
    CHECK(found.outcome == Comparison::Outcome::content_differs);
    CHECK(found.offset == kSize + 1024);
}

TEST_CASE("compare: stops when told to")
{
    auto a = disk_of(kSize);
    auto b = disk_of(kSize);

    const auto stop = [](u64, u64) { return false; };

    CHECK(compare(*a, *b, {.progress = stop}).outcome == Comparison::Outcome::stopped);
}

TEST_CASE("compare: of several differences the first is told, whichever thread finds one first")
{
    constexpr u64 kMany = u64{24} << 20;
    auto a = disk_of(kMany);
    auto b = disk_of(kMany + 4096);
    const auto bytes = noise(kMany, 1);
    write(*a, 0, bytes);
    write(*b, 0, bytes);
    CHECK(compare(*a, *b, {}).outcome == Comparison::Outcome::identical);
    CHECK(compare(*a, *b, {}).overhang);

    for (const u64 at : {u64{23} << 20, u64{18} << 20, (u64{17} << 20) + 1024}) {
        write(*b, at, std::vector<u8>(512));
        const Comparison found = compare(*a, *b, {});
        CHECK(found.outcome == Comparison::Outcome::content_differs);
        CHECK(found.offset == at);
        CHECK_FALSE(found.overhang);
    }
}
