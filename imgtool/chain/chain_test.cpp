#include "imgtool/chain/chain.hpp"

#include "imgtool/tests/support.hpp"

#include <sys/wait.h>
#include <unistd.h>

using namespace img;
using img::test::need;
using img::test::TempDir;

namespace {

void make(const std::string& path, const Qcow2CreateOptions& options)
{
    const auto made = create_qcow2(path, options);
    if (!made) {
        FAIL(made.error().message);
    }
}

std::unique_ptr<Disk> open_for_writing(const std::string& path, const std::string& format)
{
    return need(open_disk({.path = path, .format = format, .read_only = false}));
}

std::string refusal(const OpenOptions& options)
{
    auto disk = open_disk(options);
    return disk ? "opened" : disk.error().message;
}

} // namespace

TEST_CASE("chain: an overlay keeps writes to itself and reads the rest from its backing file")
{
    const TempDir dir;
    const auto base_bytes = test::noise(150'016, 1);
    test::write_file(dir / "base.raw", base_bytes);
    make(dir / "over.qcow2",
         {.size = 200'192, .backing_file = "base.raw", .backing_format = "raw"});

    auto disk = open_for_writing(dir / "over.qcow2", "qcow2");
    const std::vector<u8> ones(1000, 1);
    REQUIRE(disk->write(70'000, ones));
    REQUIRE(disk->write(149'500, ones)); // across the end of the backing file

    std::vector<u8> expected = base_bytes;
    expected.resize(200'192);
    std::fill_n(expected.begin() + 70'000, 1000, u8{1});
    std::fill_n(expected.begin() + 149'500, 1000, u8{1});
    CHECK(test::read_all(*disk) == expected);
    auto base = need(open_disk({.path = dir / "base.raw", .format = "raw", .share = true}));
    CHECK(test::read_all(*base) == base_bytes);
}

TEST_CASE("chain: visit_written shows what the overlay itself holds")
{
    const TempDir dir;
    test::write_file(dir / "base.raw", test::noise(65536 * 4, 1));
    make(dir / "over.qcow2", {.backing_file = "base.raw", .backing_format = "raw"});
    auto disk = open_for_writing(dir / "over.qcow2", "qcow2");
    REQUIRE(disk->write(65536, std::vector<u8>(10, 1)));
    REQUIRE(disk->write_zeroes(65536 * 2, 65536));

    std::vector<std::pair<u64, u64>> ranges;
    REQUIRE(disk->visit_written([&](u64 offset, u64 length) {
        ranges.emplace_back(offset, length);
        return base::ok();
    }));

    CHECK(ranges == std::vector<std::pair<u64, u64>>{{65536, 131072}});
}

TEST_CASE("chain: random writes over a backing chain of three images")
{
    const TempDir dir;
    test::write_file(dir / "a.raw", test::noise(300'032, 1));
    make(dir / "b.qcow2",
         {.size = 400'384, .cluster_size = 4096, .backing_file = "a.raw", .backing_format = "raw"});
    std::vector<u8> middle;
    {
        auto disk = open_for_writing(dir / "b.qcow2", "qcow2");
        middle = test::scribble(*disk, 2, 40, 20000);
        CHECK(test::read_all(*disk) == middle);
    }
    make(dir / "c.qcow2", {.version = 2, .backing_file = "b.qcow2", .backing_format = "qcow2"});
    auto disk = open_for_writing(dir / "c.qcow2", "qcow2");
    CHECK(test::read_all(*disk) == middle);

    const auto top = test::scribble(*disk, 3, 40, 20000);

    CHECK(test::read_all(*disk) == top);
}

TEST_CASE("chain: a loop of backing files is found")
{
    const TempDir dir;
    make(dir / "a.qcow2", {.size = 65536});
    make(dir / "b.qcow2", {.backing_file = "a.qcow2", .backing_format = "qcow2"});
    // Only now may the file below name the one above.
    make(dir / "c.qcow2", {.backing_file = "b.qcow2", .backing_format = "qcow2"});
    std::filesystem::rename(dir / "c.qcow2", dir / "a.qcow2");

    CHECK(refusal({.path = dir / "b.qcow2"}) ==
          "Backing file '" + (dir / "b.qcow2") + "' creates an infinite loop.");
}

TEST_CASE("chain: names with a protocol in an image are refused")
{
    const TempDir dir;
    for (const char* name :
         {"json:{\"driver\":\"file\"}", "nbd:unix:/tmp/s", "fd:3", "http://example.org/x"}) {
        const auto resolved = resolve_backing(dir / "a.qcow2", name);
        REQUIRE_FALSE(resolved);
        CHECK(resolved.error().code == base::Errc::unsupported);
    }
    CHECK(need(resolve_backing("/x/y/a.qcow2", "b.raw")) == "/x/y/b.raw");
    CHECK(need(resolve_backing("/x/y/a.qcow2", "/b.raw")) == "/b.raw");
    CHECK(need(resolve_backing("a.qcow2", "sub/b:c.raw")) == "sub/b:c.raw");
}

TEST_CASE("chain: the caller's gate decides which backing files are opened")
{
    const TempDir dir;
    test::write_file(dir / "base.raw", std::vector<u8>(512, 1));
    make(dir / "over.qcow2", {.backing_file = "base.raw", .backing_format = "raw"});
    std::string asked;

    const auto message =
        refusal({.path = dir / "over.qcow2", .backing = {.allow = [&](const std::string& path) {
                                                 asked = path;
                                                 return false;
                                             }}});

    CHECK(asked == dir / "base.raw");
    CHECK(message == "backing file '" + (dir / "base.raw") + "' is not among the files allowed");
}

TEST_CASE("chain: a gate of folders is not passed by links or dots")
{
    const TempDir dir;
    std::filesystem::create_directories(dir / "store/a");
    test::write_file(dir / "store/a/base.raw", std::vector<u8>(512, 1));
    test::write_file(dir / "secret", std::vector<u8>(512, 1));
    std::filesystem::create_symlink(dir / "secret", dir / "store/link");
    const auto gate = only_inside({dir / "store"});

    CHECK(gate(dir / "store/a/base.raw"));
    CHECK(gate(dir / "store/a/../a/base.raw"));
    CHECK_FALSE(gate(dir / "secret"));
    CHECK_FALSE(gate(dir / "store/../secret"));
    CHECK_FALSE(gate(dir / "store/link"));
    CHECK_FALSE(gate(dir / "store/nothing"));
}

TEST_CASE("chain: a backing file of undeclared format does not lead to further files")
{
    const TempDir dir;
    test::write_file(dir / "secret", std::vector<u8>(512, 1));
    make(dir / "guest.raw", {.backing_file = "secret", .backing_format = "raw"});
    make(dir / "over.qcow2", {.backing_file = "guest.raw"}); // no format declared

    CHECK(refusal({.path = dir / "over.qcow2"}).find("is not opened") != std::string::npos);
    CHECK(refusal({.path = dir / "over.qcow2", .backing = {.trust_probed = true}}) == "opened");
}

TEST_CASE("chain: a probed raw disk cannot be given another format's header")
{
    const TempDir dir;
    test::write_file(dir / "disk.img", std::vector<u8>(65536));
    const std::vector<u8> magic{'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};
    {
        auto probed = open_for_writing(dir / "disk.img", "");
        CHECK(probed->write(8, magic));
        CHECK_FALSE(probed->write(0, magic));
        // Nor in two halves.
        CHECK(probed->write(0, std::span{magic}.first(4)));
        CHECK_FALSE(probed->write(4, std::span{magic}.subspan(4)));
    }
    auto declared = open_for_writing(dir / "disk.img", "raw");
    CHECK(declared->write(0, magic));
}

TEST_CASE("raw: a size that is not whole sectors is rounded up, and the tail can be written")
{
    const TempDir dir;
    test::write_file(dir / "odd.img", std::vector<u8>(1000, 3));
    auto disk = open_for_writing(dir / "odd.img", "raw");

    CHECK(disk->size() == 1024);
    std::vector<u8> tail(48);
    REQUIRE(disk->read(976, tail));
    CHECK(tail[23] == 3);
    CHECK(tail[24] == 0);
    REQUIRE(disk->write(1010, std::vector<u8>(14, 4)));
    REQUIRE(disk->read(976, tail));
    CHECK(tail[24] == 0);
    CHECK(tail[47] == 4);
}

TEST_CASE("disk: accesses past the end are errors")
{
    const TempDir dir;
    make(dir / "a.qcow2", {.size = 65536});
    auto disk = open_for_writing(dir / "a.qcow2", "qcow2");
    std::vector<u8> bytes(512);

    CHECK_FALSE(disk->read(65536 - 511, bytes));
    CHECK_FALSE(disk->write(~u64{0}, bytes));
    CHECK_FALSE(disk->write_zeroes(0, ~u64{0}));
    CHECK(disk->read(65536 - 512, bytes));
}

TEST_CASE("overlay: writes stay in it, and the disk below is never written")
{
    const TempDir dir;
    const auto below = test::noise(100'864, 1);
    test::write_file(dir / "base.raw", below);
    const std::string folder = GENERATE(std::string{}, std::string{"."});
    {
        auto overlay = need(
            make_overlay(need(open_disk({.path = dir / "base.raw", .format = "raw"})), folder));
        const auto mirror = test::scribble(*overlay, 5, 60, 9000);
        CHECK(test::read_all(*overlay) == mirror);
    }
    auto base = need(open_disk({.path = dir / "base.raw", .format = "raw"}));
    CHECK(test::read_all(*base) == below);
}

TEST_CASE("lock: a second writer is refused and told who has the image")
{
    const TempDir dir;
    make(dir / "a.qcow2", {.size = 65536});
    auto first = open_for_writing(dir / "a.qcow2", "qcow2");

    const auto message = refusal({.path = dir / "a.qcow2", .read_only = false});

    CHECK(message == "Failed to get \"write\" lock\nIs another process using the image [" +
                         (dir / "a.qcow2") + "]?\nIt is in use by process " +
                         std::to_string(::getpid()) + ".");
    CHECK(refusal({.path = dir / "a.qcow2", .share = true}) == "opened");
    first.reset();
    CHECK(refusal({.path = dir / "a.qcow2", .read_only = false}) == "opened");
}

TEST_CASE("crash: a process killed while it writes leaves an image with all that it flushed")
{
    const TempDir dir;
    for (u32 round = 0; round < 8; ++round) {
        const std::string path = dir / "k.qcow2";
        std::filesystem::remove(path);
        make(path, {.size = 4 << 20, .cluster_size = 4096});
        std::array<int, 2> pipe{};
        REQUIRE(::pipe(pipe.data()) == 0);
        const pid_t child = ::fork();
        if (child == 0) {
            auto disk = open_disk({.path = path, .format = "qcow2", .read_only = false});
            std::vector<u8> bytes(3000);
            for (u32 i = 0; disk && i < 1000; ++i) {
                std::fill(bytes.begin(), bytes.end(), static_cast<u8>(i % 255 + 1));
                if (!disk.value()->write(u64{i} * 4001, bytes) ||
                    (i % 5 == 4 &&
                     (!disk.value()->flush() || ::write(pipe[1], &i, sizeof i) != sizeof i))) {
                    ::_exit(1);
                }
            }
            ::_exit(0);
        }
        u32 flushed = 0;
        for (u32 reports = 0; reports < 3 + round * 5; ++reports) {
            REQUIRE(::read(pipe[0], &flushed, sizeof flushed) == sizeof flushed);
        }
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        ::close(pipe[0]);
        ::close(pipe[1]);

        auto chain = need(open_chain({.path = path, .format = "qcow2"}));
        const auto report =
            need(chain->layers()[0].image->check(Repair::none, [](const std::string&) {}));
        CHECK(report.corruptions == 0);
        bool kept = true;
        std::vector<u8> bytes(3000);
        for (u32 i = 0; i <= flushed; ++i) {
            REQUIRE(chain->read(u64{i} * 4001, bytes));
            kept = kept && bytes == std::vector<u8>(3000, static_cast<u8>(i % 255 + 1));
        }
        CHECK(kept);
    }
}
