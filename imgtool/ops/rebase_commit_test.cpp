// rebase and commit on random chains: nothing that is read changes.
#include "imgtool/ops/commit.hpp"
#include "imgtool/ops/rebase.hpp"

#include "imgtool/tests/support.hpp"

using namespace img;
using img::test::need;
using img::test::read_all;
using img::test::scribble;
using img::test::TempDir;

namespace {

struct Shape {
    u64 base, top, other; // sizes in bytes
    int version;
};

constexpr Shape kShapes[]{{400000, 600000, 500000, 3},
                          {600000, 400000, 800000, 3},
                          {600000, 600000, 200000, 2},
                          {1000, 300000, 300000, 2}};

void create(const std::string& path, u64 size, int version, const std::string& backing = {})
{
    const auto made = create_qcow2(path, {.size = size,
                                          .cluster_size = 4096,
                                          .version = version,
                                          .backing_file = backing,
                                          .backing_format = backing.empty() ? "" : "qcow2"});
    REQUIRE(made);
}

std::unique_ptr<ChainDisk> open_file(const std::string& path, bool writable)
{
    return need(open_chain({.path = path, .format = "qcow2", .read_only = !writable}));
}

/// base <- top, and another image that could be the base; returns what top reads as.
std::vector<u8> make_chain(const TempDir& dir, const Shape& shape, unsigned seed)
{
    const u64 sector = 512;
    create(dir / "base", shape.base / sector * sector, shape.version);
    create(dir / "top", shape.top / sector * sector, shape.version, "base");
    create(dir / "other", shape.other / sector * sector, shape.version);
    scribble(*open_file(dir / "base", true), seed, 12, 30000);
    scribble(*open_file(dir / "other", true), seed + 1, 12, 30000);
    return scribble(*open_file(dir / "top", true), seed + 2, 6, 20000);
}

} // namespace

TEST_CASE("rebase: the disk reads the same over any other backing file")
{
    unsigned seed = 1;
    for (const Shape& shape : kShapes) {
        CAPTURE(seed);
        const TempDir dir;
        const auto bytes = make_chain(dir, shape, seed += 10);
        {
            auto disk = open_file(dir / "top", true);
            auto other = open_file(dir / "other", false);
            REQUIRE(copy_for_rebase(*disk, other.get(), {}));
            REQUIRE(disk->layers().front().image->set_backing("other", "qcow2"));
        }
        CHECK(read_all(*open_file(dir / "top", false)) == bytes);
        {
            auto disk = open_file(dir / "top", true);
            REQUIRE(copy_for_rebase(*disk, nullptr, {}));
            REQUIRE(disk->layers().front().image->set_backing("", ""));
        }
        CHECK(read_all(*open_file(dir / "top", false)) == bytes);
        {
            auto disk = open_file(dir / "top", true);
            auto base = open_file(dir / "base", false);
            REQUIRE(copy_for_rebase(*disk, base.get(), {}));
            REQUIRE(disk->layers().front().image->set_backing("base", "qcow2"));
        }
        CHECK(read_all(*open_file(dir / "top", false)) == bytes);
    }
}

TEST_CASE("rebase: what is alike in both backing files is not copied")
{
    const TempDir dir;
    create(dir / "base", 1 << 20, 3);
    scribble(*open_file(dir / "base", true), 3, 20, 60000);
    std::filesystem::copy_file(dir / "base", dir / "other");
    create(dir / "top", 1 << 20, 3, "base");
    auto disk = open_file(dir / "top", true);
    auto other = open_file(dir / "other", false);

    REQUIRE(copy_for_rebase(*disk, other.get(), {}));

    u64 own = 0;
    const auto visited = disk->visit_written([&](u64, u64 length) {
        own += length;
        return base::ok();
    });
    CHECK(visited);
    CHECK(own == 0);
}

TEST_CASE("rebase: what is copied can be compressed, and what the image had stays as it was")
{
    const TempDir dir;
    create(dir / "base", 50'000 / 512 * 512, 3);
    create(dir / "top", 50'000 / 512 * 512, 3, "base");
    REQUIRE(open_file(dir / "base", true)->write(0, std::vector<u8>(49'664, 0x21)));
    REQUIRE(open_file(dir / "top", true)->write(100, std::vector<u8>(10, 0x22)));
    const auto bytes = read_all(*open_file(dir / "top", false));
    {
        auto disk = open_file(dir / "top", true);
        REQUIRE(copy_for_rebase(*disk, nullptr, {.compress = true}));
        REQUIRE(disk->layers().front().image->set_backing("", ""));
    }
    auto disk = open_file(dir / "top", false);
    CHECK(read_all(*disk) == bytes);
    const auto kind_at = [&](u64 at) {
        return need(disk->find(at, 1, MapDetail::fast)).extent.kind;
    };
    CHECK(kind_at(0) == Extent::Kind::data);
    CHECK(kind_at(4096) == Extent::Kind::compressed);
    CHECK(kind_at(49'663) == Extent::Kind::compressed); // a part of a cluster, at the end
}

TEST_CASE("rebase: interrupted, the disk is as it was")
{
    const TempDir dir;
    const auto bytes = make_chain(dir, kShapes[0], 77);
    {
        auto disk = open_file(dir / "top", true);
        int left = 3;
        const auto some = [&](u64, u64) { return --left > 0; };
        CHECK_FALSE(copy_for_rebase(*disk, nullptr, {.kept_depth = {}, .progress = some}));
    }
    CHECK(read_all(*open_file(dir / "top", false)) == bytes);
}

TEST_CASE("commit: the base then reads as the overlay did, and the overlay still does")
{
    unsigned seed = 100;
    for (const Shape& shape : kShapes) {
        CAPTURE(seed);
        const TempDir dir;
        const auto bytes = make_chain(dir, shape, seed += 10);
        {
            auto disk = open_file(dir / "top", true);
            disk->layers().pop_back();
            auto base = open_file(dir / "base", true);
            const u64 old_size = base->size();
            REQUIRE(commit(*disk, *base, {}));
            CHECK(base->size() == std::max<u64>(old_size, bytes.size()));
            auto there = read_all(*base);
            there.resize(bytes.size());
            CHECK(there == bytes);
            REQUIRE(need(disk->layers().front().image->make_empty()));
            REQUIRE(disk->flush());
        }
        CHECK(read_all(*open_file(dir / "top", false)) == bytes);
    }
}
