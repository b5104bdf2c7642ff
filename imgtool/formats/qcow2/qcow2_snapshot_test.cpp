#include "base/endian.hpp"
#include "imgtool/formats/qcow2/layout.hpp"
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

Image& top(ChainDisk& disk)
{
    return *disk.layers()[0].image;
}

} // namespace

TEST_CASE("qcow2 snapshots: an applied snapshot brings back the disk as it was, size and all")
{
    CreateParameters p{.size = 1'000'000, .cluster_size = 512};
    p.version = GENERATE(2u, 3u);
    const Bytes bytes = make_qcow2(p);
    std::vector<u8> first, second;
    {
        auto disk = open_qcow2(bytes);
        first = scribble(*disk, 1, 60, 20000);
        REQUIRE(top(*disk).create_snapshot("one", {.seconds = 1000, .nanoseconds = 5}));
        second = scribble(*disk, 2, 60, 20000);
        REQUIRE(top(*disk).create_snapshot("two", {}));
        (void)scribble(*disk, 3, 60, 20000);
        REQUIRE(disk->flush());
    }
    is_clean(bytes);
    {
        auto disk = open_qcow2(bytes);
        const auto all = top(*disk).info().snapshots;
        REQUIRE(all.size() == 2);
        CHECK(all[0].id == "1");
        CHECK(all[0].name == "one");
        CHECK(all[0].date_s == 1000);
        CHECK(all[0].date_ns == 5);
        CHECK(all[0].disk_size == 1'000'000);
        REQUIRE(top(*disk).apply_snapshot("one"));
        CHECK(read_all(*disk) == first);
        REQUIRE(top(*disk).apply_snapshot("2"));
        CHECK(read_all(*disk) == second);
    }
    is_clean(bytes);
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(top(*disk).delete_snapshot("one"));
        CHECK(read_all(*disk) == second);
        (void)scribble(*disk, 4, 60, 20000);
        REQUIRE(top(*disk).delete_snapshot("two"));
        REQUIRE(disk->write(0, std::vector<u8>(512, 1)));
        CHECK(top(*disk).info().snapshots.empty());
    }
    is_clean(bytes);
}

TEST_CASE("qcow2 snapshots: one can be read without applying it, where nothing is written")
{
    const Bytes bytes = make_qcow2({.size = 300'000, .cluster_size = 1024});
    auto disk = open_qcow2(bytes);
    REQUIRE(top(*disk).create_snapshot("x", {}));

    CHECK_FALSE(top(*disk).view_snapshot("x"));
    CHECK_FALSE(top(*disk).apply_snapshot("y"));
    CHECK_FALSE(top(*disk).delete_snapshot("y"));
}

TEST_CASE("qcow2 snapshots: none is taken where a cluster cannot be counted twice")
{
    const Bytes bytes = make_qcow2({.size = 300'000, .refcount_bits = 1});
    auto disk = open_qcow2(bytes);
    REQUIRE(disk->write(0, std::vector<u8>(512, 1)));

    const auto taken = top(*disk).create_snapshot("x", {});

    REQUIRE_FALSE(taken);
    CHECK(taken.error().message == "Invalid argument");
    disk.reset();
    CHECK(check_qcow2(bytes).corruptions == 0);
    CHECK(check_qcow2(bytes).leaks == 1); // as qemu-img leaves it
}

TEST_CASE("qcow2 snapshots: an L1 table that all leads to one place does not take for ever")
{
    const Bytes bytes = make_qcow2({.size = u64{1} << 40, .cluster_size = 65536});
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(512, 1)));
    }
    const u64 l1 = base::load_be<u64>(*bytes, 40);
    const u64 l2 = base::load_be<u64>(*bytes, l1);
    for (u64 i = 0; i < 2048; ++i) {
        base::store_be<u64>(*bytes, l1 + i * 8, l2);
    }
    auto disk = open_qcow2(bytes);
    const auto taken = top(*disk).create_snapshot("x", {});
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == base::Errc::corrupt);
}

TEST_CASE("qcow2 snapshots: a flag over a higher count is an error, unless the image is dirty")
{
    const Bytes bytes = make_qcow2({.size = 300'000});
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(512, 1)));
    }
    constexpr u64 kDirtyByte = 79; // the lowest of incompatible_features
    const u64 l2 = base::load_be<u64>(*bytes, base::load_be<u64>(*bytes, 40)) & entry::offset_mask;
    const u64 cluster = (base::load_be<u64>(*bytes, l2) & entry::offset_mask) >> 16;
    const u64 block = base::load_be<u64>(*bytes, base::load_be<u64>(*bytes, 48));
    base::store_be<u16>(*bytes, block + cluster * 2, 2); // as before a snapshot's table is written

    CHECK(check_qcow2(bytes).corruptions == 1);
    CHECK(check_qcow2(bytes).leaks == 1);
    (*bytes)[kDirtyByte] = incompatible::dirty;
    CHECK(check_qcow2(bytes).corruptions == 0);
    CHECK(check_qcow2(bytes).leaks == 1);

    (void)open_qcow2(bytes); // for writing
    CHECK((*bytes)[kDirtyByte] == 0);
    is_clean(bytes);
}

TEST_CASE("qcow2 snapshots: an image is dirty only while one is taken or given up")
{
    const u32 version = GENERATE(2u, 3u);
    const Bytes bytes = make_qcow2({.size = 300'000, .version = version});
    const auto recording = record_run(kDriver, *bytes, [](ChainDisk& disk, Recording&) {
        REQUIRE(disk.write(0, std::vector<u8>(512, 1)));
        REQUIRE(top(disk).create_snapshot("a", {}));
        CHECK_FALSE(top(disk).info().dirty);
        REQUIRE(top(disk).delete_snapshot("a"));
        CHECK_FALSE(top(disk).info().dirty);
    });
    std::vector<u64> written; // to the features, each time
    for (const FileEvent& event : recording.log) {
        if (event.kind == FileEvent::Kind::write && event.at == kFieldIncompatible) {
            written.push_back(base::load_be<u64>(event.bytes, 0));
        }
    }
    CHECK(written == (version == 2 ? std::vector<u64>{} : std::vector<u64>{1, 0, 1, 0}));
}

TEST_CASE("qcow2 snapshots: cut at any write, the image is sound and its disk one or the other")
{
    const u32 version = GENERATE(2u, 3u);
    const auto start = [version] {
        const Bytes bytes = make_qcow2({.size = 200'000, .version = version, .cluster_size = 512});
        auto disk = open_qcow2(bytes);
        (void)scribble(*disk, 1, 40, 20000);
        return *bytes;
    }();
    auto recording = record_run(kDriver, start, [](ChainDisk& disk, Recording& r) {
        Image& image = top(disk);
        const auto now = [&] { r.flushed[r.log.size()] = read_all(disk); };
        now();
        REQUIRE(image.create_snapshot("a", {}));
        now();
        r.flushed[r.log.size()] = {}; // what is written goes in piece by piece
        REQUIRE(disk.write(3000, noise(9000, 1)));
        REQUIRE(disk.flush());
        now();
        REQUIRE(image.create_snapshot("b", {}));
        REQUIRE(image.delete_snapshot("a"));
        now();
        r.flushed[r.log.size()] = {}; // likewise, and an applied snapshot is another disk
        REQUIRE(disk.write(100'000, noise(9000, 2)));
        REQUIRE(disk.flush());
        REQUIRE(image.apply_snapshot("b"));
        now();
        REQUIRE(image.delete_snapshot("b"));
    });
    recording.mended = version == 2; // qcow2_snapshot.cpp
    CHECK(check_prefixes(recording, 1) > 50);
    CHECK(check_losses(recording, 4) > 50);
}

TEST_CASE("qcow2 check: a misplaced cluster without data is given up, one with data stays wrong")
{
    const bool holds_data = GENERATE(false, true);
    const Bytes bytes = make_qcow2({.size = 300'000});
    {
        auto disk = open_qcow2(bytes);
        REQUIRE(disk->write(0, std::vector<u8>(512, 1)));
    }
    const u64 l2 = base::load_be<u64>(*bytes, base::load_be<u64>(*bytes, 40)) & entry::offset_mask;
    const u64 misplaced = (base::load_be<u64>(*bytes, l2) + 512) | (holds_data ? 0 : entry::zero);
    base::store_be<u64>(*bytes, l2, misplaced);

    const CheckReport report = check_qcow2(bytes, Repair::all);

    CHECK(check_qcow2(bytes).corruptions == (holds_data ? 1 : 0));
    CHECK(base::load_be<u64>(*bytes, l2) == (holds_data ? misplaced : entry::zero));
    CHECK(report.corruptions_fixed >= 1);
}
