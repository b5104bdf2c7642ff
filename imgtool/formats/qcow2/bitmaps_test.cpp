#include "base/endian.hpp"
#include "imgtool/bitmap.hpp"
#include "imgtool/formats/qcow2/layout.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/qcow2_support.hpp"

using namespace img;
using namespace img::qcow2;
using namespace img::test;

namespace {

constexpr u64 kMiB = 1 << 20;

BitmapStore& bitmaps(ChainDisk& disk)
{
    return *disk.layers()[0].image->bitmaps();
}

std::vector<std::size_t> dirty(ChainDisk& disk, const std::string& name)
{
    std::vector<std::size_t> which;
    const auto bits = need(bitmaps(disk).load(name));
    for (std::size_t i = 0; i < bits.size(); ++i) {
        if (bits[i]) {
            which.push_back(i);
        }
    }
    return which;
}

void is_clean(const Bytes& bytes)
{
    const CheckReport report = check_qcow2(bytes);
    CHECK(report.corruptions == 0);
    CHECK(report.leaks == 0);
}

} // namespace

TEST_CASE("qcow2 bitmaps: one that is enabled follows writes, one that is not does not")
{
    const Bytes bytes = make_qcow2({.size = 4 * kMiB, .cluster_size = 4096});
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(bitmaps(*disk).add("on", 65536, true));
        REQUIRE(bitmaps(*disk).add("off", 65536, false));
        CHECK_FALSE(bitmaps(*disk).add("on", 65536, true));
        CHECK_FALSE(bitmaps(*disk).add("x", 1000, true));
    }
    is_clean(bytes);
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(disk->write(65536 * 3 - 1, std::vector<u8>(2, 1)));
        REQUIRE(disk->write_zeroes(65536 * 9, 65536));
    }
    is_clean(bytes);
    auto disk = open_qcow2(bytes);
    CHECK(dirty(*disk, "on") == std::vector<std::size_t>{2, 3, 9});
    CHECK(dirty(*disk, "off").empty());
    CHECK_FALSE(bitmaps(*disk).list()[0].in_use);
    REQUIRE(bitmaps(*disk).merge("off", need(bitmaps(*disk).load("on")), 65536));
    REQUIRE(bitmaps(*disk).clear("on"));
    CHECK(dirty(*disk, "on").empty());
    CHECK(dirty(*disk, "off") == std::vector<std::size_t>{2, 3, 9});
    REQUIRE(bitmaps(*disk).remove("on"));
    REQUIRE(bitmaps(*disk).remove("off"));
    CHECK_FALSE(bitmaps(*disk).remove("off"));
    disk.reset();
    is_clean(bytes);
}

TEST_CASE("qcow2 bitmaps: merged from another granularity, bits cover what they stand for")
{
    const Bytes bytes = make_qcow2({.size = 4 * kMiB});
    auto disk = open_qcow2(bytes);
    REQUIRE(bitmaps(*disk).add("fine", 65536, false));
    std::vector<bool> coarse(4);
    coarse[2] = true;
    REQUIRE(bitmaps(*disk).merge("fine", coarse, kMiB));
    CHECK(dirty(*disk, "fine").front() == 32);
    CHECK(dirty(*disk, "fine").size() == 16);
}

TEST_CASE("qcow2 bitmaps: after a writer was killed a bitmap is known to be in use")
{
    const Bytes bytes = make_qcow2({.size = 4 * kMiB});
    auto disk = open_qcow2(bytes);
    REQUIRE(bitmaps(*disk).add("b", 65536, true));
    REQUIRE(disk->write(0, std::vector<u8>(2, 1)));
    REQUIRE(disk->flush());

    const auto cut = std::make_shared<std::vector<u8>>(*bytes);

    auto after = open_qcow2(cut);
    CHECK(bitmaps(*after).list()[0].in_use);
    CHECK_FALSE(bitmaps(*after).load("b"));
    CHECK_FALSE(after->resize(8 * kMiB, Preallocate::none));
    REQUIRE(bitmaps(*after).remove("b"));
}

TEST_CASE("qcow2 bitmaps: they keep their bits when the disk's size changes")
{
    const Bytes bytes = make_qcow2({.size = 4 * kMiB, .cluster_size = 512});
    auto disk = open_qcow2(bytes);
    REQUIRE(bitmaps(*disk).add("b", 512, true));
    REQUIRE(disk->write(0, std::vector<u8>(1024, 1)));
    REQUIRE(disk->write(4 * kMiB - 512, std::vector<u8>(512, 1)));
    REQUIRE(disk->resize(9 * kMiB + 512, Preallocate::none));
    CHECK(dirty(*disk, "b") == std::vector<std::size_t>{0, 1, 8191});
    REQUIRE(disk->resize(1024, Preallocate::none));
    CHECK(dirty(*disk, "b") == std::vector<std::size_t>{0, 1});
    disk.reset();
    is_clean(bytes);
}

TEST_CASE("qcow2 bitmaps: a directory that is broken is refused")
{
    const Bytes good = make_qcow2({.size = 4 * kMiB});
    {
        auto disk = open_qcow2(good);
        REQUIRE(bitmaps(*disk).add("b", 65536, true));
    }
    const Header header = need(parse_header(*good));
    const u64 at = base::load_be<u64>(header.extensions[0].type == extension::bitmaps
                                          ? header.extensions[0].data
                                          : header.extensions[1].data,
                                      16);
    const auto broken = [&](u64 offset, u8 value) {
        auto bytes = std::make_shared<std::vector<u8>>(*good);
        (*bytes)[at + offset] = value;
        return bool{open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::use)};
    };
    CHECK(broken(15, 3));          // in use
    CHECK_FALSE(broken(8, 0xff));  // entries of the table
    CHECK_FALSE(broken(16, 2));    // type
    CHECK_FALSE(broken(17, 60));   // granularity
    CHECK_FALSE(broken(18, 0xff)); // length of the name
    CHECK_FALSE(broken(20, 0xff)); // length of the extra data
}

TEST_CASE("qcow2 bitmaps: cut at any write, the image is sound")
{
    const Bytes start = make_qcow2({.size = 200'192, .cluster_size = 512});
    const auto recording = record_run(kDriver, *start, [](ChainDisk& disk, Recording&) {
        REQUIRE(bitmaps(disk).add("a", 512, true));
        REQUIRE(disk.write(0, std::vector<u8>(30'000, 1)));
        REQUIRE(disk.flush());
        REQUIRE(bitmaps(disk).add("b", 4096, true));
        REQUIRE(disk.resize(300'032, Preallocate::none));
        REQUIRE(bitmaps(disk).remove("a"));
    });
    CHECK(check_prefixes(recording, 1) > 50);
    CHECK(check_losses(recording, 4) > 50);
}
