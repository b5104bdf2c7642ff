#include "zoo/machine/machine.hpp"

#include "zoo/host/process.hpp"
#include "zoo/machine/initramfs.hpp"
#include "zoo/testing/temporary.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace zoo;
using zoo::testing::TemporaryFolder;
using zoo::testing::write_file;

BuildEntry entry(std::string path, EntryKind kind, std::string content, base::u32 mode)
{
    BuildEntry made;
    made.path = std::move(path);
    made.kind = kind;
    made.content = std::move(content);
    made.mode = mode;
    return made;
}

const FindMedia kNoMedia = [](const std::string&) -> base::Result<std::filesystem::path> {
    return base::fail(base::Errc::io, "no media");
};

/// A recipe with a floppy and a CD, which are in the store.
struct Bench {
    TemporaryFolder folder;
    Store store = Store::open(folder / "store").value();
    Recipe recipe;
    FetchedSet fetched;

    Bench()
    {
        recipe.id = "tiny";
        recipe.title = "Tiny, 1";
        recipe.machine.board = "pc";
        recipe.machine.cpu = "486";
        recipe.machine.memory_mib = 16;
        recipe.machine.nic = "none";
        recipe.machine.boot = "a";
        recipe.machine.drives = {Drive{0, DriveKind::floppy, "disk", "raw", 0},
                                 Drive{0, DriveKind::cdrom, "cd", "raw", 2}};
        add("disk", std::string(737'280, 'd'));
        add("cd", std::string(2048, 'c'));
    }

    void add(const std::string& name, const std::string& content)
    {
        PartialFile file = store.temporary().value();
        REQUIRE(file.append({reinterpret_cast<const base::u8*>(content.data()), content.size()}));
        fetched[name] = {store.adopt(std::move(file), {}).value(), content.size(), {}};
    }

    Materials materials() const { return Materials::gather(store, recipe, fetched).value(); }
};

} // namespace

TEST_CASE("initramfs: the bytes of a small one", "[zoo]")
{
    Build build;
    build.entries = {entry("a", EntryKind::text, "hi", 0644)};

    const std::string cpio = make_cpio(build, kNoMedia).value();

    const std::string file{"070701"
                           "00000001000081a40000000000000000000000010000000000000002"
                           "00000000000000000000000000000000"
                           "0000000200000000a\0"
                           "hi\0\0",
                           116};
    const std::string trailer{"070701"
                              "00000000000000000000000000000000000000010000000000000000"
                              "00000000000000000000000000000000"
                              "0000000b00000000TRAILER!!!\0\0\0\0",
                              124};
    CHECK(cpio == file + trailer);
}

TEST_CASE("initramfs: the order of the entries does not matter, folders are made", "[zoo]")
{
    Build build;
    build.entries = {entry("dev/null", EntryKind::char_device, "", 0666),
                     entry("bin/sh", EntryKind::symlink, "busybox", 0777)};
    Build turned = build;
    std::swap(turned.entries[0], turned.entries[1]);

    const std::string cpio = make_cpio(build, kNoMedia).value();

    CHECK(cpio == make_cpio(turned, kNoMedia).value());
    CHECK(cpio.find(std::string("bin\0", 4)) < cpio.find("bin/sh"));
    CHECK(gzip(cpio).value() == gzip(cpio).value());
}

TEST_CASE("initramfs: a path below a file, or twice, is refused", "[zoo]")
{
    Build below;
    below.entries = {entry("a", EntryKind::text, "x", 0644),
                     entry("a/b", EntryKind::text, "x", 0644)};
    Build twice;
    twice.entries = {entry("a", EntryKind::text, "x", 0644),
                     entry("a", EntryKind::text, "y", 0644)};

    CHECK(make_cpio(below, kNoMedia).error().message == "a is not a folder");
    CHECK(make_cpio(twice, kNoMedia).error().message == "a is there twice");
}

TEST_CASE("machine: the command line says what the recipe says", "[zoo]")
{
    const Bench bench;
    const Materials materials = bench.materials();
    const MachineFolder machine =
        MachineFolder::open(bench.folder / "m", bench.recipe, materials, Reuse::keep).value();

    const auto command = emulator_command("/bin/emulator", bench.recipe, materials, machine);

    CHECK(command ==
          std::vector<std::string>{"/bin/emulator", "-name", "Tiny,, 1", "-M", "pc", "-m", "16",
                                   "-cpu", "486", "-nic", "none", "-drive",
                                   "file=" + (bench.folder / "m/floppy0.qcow2").string() +
                                       ",format=qcow2,if=floppy,index=0",
                                   "-drive",
                                   "file=" + materials.path("cd").string() +
                                       ",format=raw,if=ide,index=2,media=cdrom,readonly=on",
                                   "-boot", "order=a"});
}

TEST_CASE("machine: its overlay is kept, made anew when asked, and refused over other media",
          "[zoo]")
{
    Bench bench;
    const auto folder = bench.folder / "m";
    const auto overlay = folder / "floppy0.qcow2";
    const auto open = [&](Reuse reuse) {
        auto opened = MachineFolder::open(folder, bench.recipe, bench.materials(), reuse);
        return opened ? "no error" : opened.error().message;
    };
    REQUIRE(open(Reuse::keep) == "no error");
    write_file(overlay, "written by the guest");

    REQUIRE(open(Reuse::keep) == "no error");
    CHECK(zoo::testing::read_whole(overlay) == "written by the guest");
    REQUIRE(open(Reuse::fresh) == "no error");
    CHECK(zoo::testing::read_whole(overlay).starts_with("QFI\xfb"));

    bench.add("disk", "another disk");
    CHECK_THAT(open(Reuse::keep), Catch::Contains("was made from other media"));
}

TEST_CASE("machine: one that is running is not started twice", "[zoo]")
{
    const Bench bench;
    const Materials materials = bench.materials();
    const MachineFolder running =
        MachineFolder::open(bench.folder / "m", bench.recipe, materials, Reuse::keep).value();

    auto second = MachineFolder::open(bench.folder / "m", bench.recipe, materials, Reuse::keep);

    REQUIRE_FALSE(second);
    CHECK_THAT(second.error().message, Catch::Contains("this machine is running already"));
}

TEST_CASE("machine: the script has the steps in order", "[zoo]")
{
    Recipe recipe;
    recipe.id = "tiny";
    recipe.run.steps = {{0, "type = 'a'\n"}, {0, "screenshot = 'b'\n"}};

    CHECK(script_text(recipe) == "# The [run] steps of tiny\nschema = 1\nhost_limit_s = 600\n"
                                 "\n[[steps]]\ntype = 'a'\n\n[[steps]]\nscreenshot = 'b'\n");
}

TEST_CASE("process: a command is quoted so that a shell reads it back", "[zoo]")
{
    CHECK(quote_command({"a", "b c", "it's", ""}) == "a 'b c' 'it'\\''s' ''");
}

TEST_CASE("process: a program that is not there is an error with its name", "[zoo]")
{
    auto finished = run_captured({{"/nothing/here"}, {}, {}});

    REQUIRE_FALSE(finished);
    CHECK(finished.error().message == "running /nothing/here: No such file or directory");
}
