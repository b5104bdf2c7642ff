#include "imgtool/source/fat/fat_source.hpp"
#include "imgtool/source/fat/names.hpp"
#include "imgtool/tests/support.hpp"

#include <filesystem>

using namespace img;
using namespace img::fat;
using img::test::need;
using img::test::noise;
using img::test::TempDir;

namespace {

std::string text(const ShortName& name)
{
    return {name.begin(), name.end()};
}

std::vector<u8> read_at(ByteSource& source, u64 at, std::size_t n)
{
    std::vector<u8> bytes(n);
    const auto done = source.read({at}, bytes);
    if (!done) {
        FAIL(done.error().message);
    }
    return bytes;
}

} // namespace

TEST_CASE("fat names: what is short stays, the rest gets a number and a long name")
{
    NameGiver giver;
    CHECK(text(giver.give("README.TXT").short_name) == "README  TXT");
    const Names lower = giver.give("notes.txt");
    CHECK(text(lower.short_name) == "NOTES~1 TXT");
    CHECK(lower.long_name == u"notes.txt");
    CHECK(text(giver.give("a long name.text").short_name) == "ALONGN~1TEX");
    CHECK(text(giver.give("a long nam.text").short_name) == "ALONGN~2TEX");
    CHECK(text(giver.give(".hidden").short_name) == "HIDDEN~1   ");
    CHECK(text(giver.give("\xc3\xa9").short_name) == "__~1       ");
}

TEST_CASE("fat names: names that FAT cannot tell apart or cannot have are changed")
{
    NameGiver giver;
    giver.give("readme");
    CHECK(giver.give("ReadMe").long_name == u"ReadMe~2");
    CHECK(giver.give("a:b\x01?").long_name == u"a_b__");
    CHECK(giver.give("\xff. ").long_name == u"___");
}

TEST_CASE("fat names: the checksum is the specification's")
{
    // Worked by hand: each character is added to the sum rotated right by one bit.
    CHECK(checksum({' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '}) == 0xf7);
}

TEST_CASE("fat: the layout of a disk follows the specification")
{
    const TempDir dir;
    const std::vector<u8> content = noise(20000, 4);
    test::write_file(dir / "A.BIN", content);
    auto disk = need(FatSource::open(dir.path(), {}));

    CHECK(disk->size() == 528482304);
    const auto mbr = read_at(*disk, 0, 512);
    CHECK(mbr[450] == 6); // FAT16
    CHECK(mbr[454] == 63);
    CHECK(mbr[510] == 0x55);
    const auto boot = read_at(*disk, 63 * 512, 512);
    CHECK(boot[13] == 16);  // sectors to a cluster
    CHECK(boot[16] == 2);   // tables
    CHECK(boot[22] == 252); // sectors of a table
    const u64 table = 64 * 512;
    CHECK(read_at(*disk, table, 10) ==
          std::vector<u8>{0xf8, 0xff, 0xff, 0xff, 3, 0, 4, 0, 0xff, 0xff});
    CHECK(read_at(*disk, table + 252 * 512, 4) == std::vector<u8>{0xf8, 0xff, 0xff, 0xff});
    const u64 root = table + 2 * 252 * 512;
    const auto entries = read_at(*disk, root, 64);
    CHECK(std::string(entries.begin(), entries.begin() + 11) == "QEMU VVFAT ");
    CHECK(std::string(entries.begin() + 32, entries.begin() + 43) == "A       BIN");
    CHECK(entries[32 + 26] == 2);           // first cluster
    CHECK(entries[32 + 28] == 20000 % 256); // size
    CHECK(read_at(*disk, root + 512 * 32, content.size()) == content);
}

TEST_CASE("fat: what is not data is a hole")
{
    const TempDir dir;
    auto disk = need(FatSource::open(dir.path(), {}));
    const auto first = need(disk->run_at({0}));
    CHECK(first.data);
    CHECK(first.length == 512);
    const auto second = need(disk->run_at({512}));
    CHECK_FALSE(second.data);
    CHECK(second.length == 62 * 512);
}

TEST_CASE("fat: what does not fit is refused")
{
    const TempDir dir;
    test::write_file(dir / "BIG", std::vector<u8>(1500000));
    const auto refusal = [&dir](const Parameters& parameters) {
        const auto source = FatSource::open(dir.path(), parameters);
        REQUIRE_FALSE(source);
        return source.error().message;
    };
    CHECK(refusal({.medium = Medium::floppy, .bits = 12}) ==
          "Directory does not fit in FAT12 (capacity 1.44 MB)");
    CHECK(refusal({.medium = Medium::floppy, .bits = 32}) == "a floppy is too small for FAT32");
    CHECK(refusal({.bits = 13}) == "Valid FAT types are only 12, 16 and 32");
    CHECK(FatSource::open(dir.path(), {.medium = Medium::floppy}));
}

TEST_CASE("fat: a sparse file larger than FAT can have is refused before it is laid out")
{
    const TempDir dir;
    test::write_file(dir / "BIG", {});
    std::filesystem::resize_file(dir / "BIG", u64{5} << 30);
    CHECK_FALSE(FatSource::open(dir.path(), {.bits = 32}));
}

TEST_CASE("fat: links out of the folder, loops and pipes are left out")
{
    const TempDir outside;
    test::write_file(outside / "SECRET", noise(100, 1));
    const TempDir dir;
    test::write_file(dir / "IN", noise(100, 2));
    std::filesystem::create_symlink(outside / "SECRET", dir / "OUT");
    std::filesystem::create_symlink(dir / "IN", dir / "LINK");
    std::filesystem::create_directory_symlink(dir.path(), dir / "LOOP");
    REQUIRE(test::run("mkfifo " + (dir / "PIPE")).code == 0);

    const Entry root = need(read_folder(dir.path()));

    REQUIRE(root.members.size() == 2);
    CHECK(root.members[0].name == "IN");
    CHECK(root.members[1].name == "LINK");
}

TEST_CASE("fat: a file that was exchanged or cut is an error, not other bytes")
{
    const TempDir dir;
    test::write_file(dir / "A", noise(5000, 1));
    auto disk = need(FatSource::open(dir.path(), {}));
    const u64 at = 64 * 512 + 2 * 252 * 512 + 512 * 32;
    std::vector<u8> bytes(5000);

    std::filesystem::resize_file(dir / "A", 100);
    CHECK_FALSE(disk->read({at}, bytes));

    auto other = need(FatSource::open(dir.path(), {}));
    std::filesystem::rename(dir / "A", dir / "B");
    test::write_file(dir / "A", noise(5000, 2));
    CHECK_FALSE(other->read({at}, bytes));
}

TEST_CASE("fat: mtools reads back all three types")
{
    if (!test::has_program("mdir")) {
        return;
    }
    const TempDir dir;
    std::filesystem::create_directories(dir / "in/sub folder/deep");
    test::write_file(dir / "in/sub folder/deep/a file with a long name.data", noise(70000, 1));
    test::write_file(dir / "in/EMPTY", {});
    for (int i = 0; i < 300; ++i) {
        test::write_file(dir / ("in/sub folder/file number " + std::to_string(i)), noise(9, 1));
    }
    for (const int bits : {12, 16, 32}) {
        auto source = need(FatSource::open(dir / "in", {.bits = bits}));
        std::filesystem::remove(dir / "disk");
        test::write_file(dir / "disk", {});
        std::filesystem::resize_file(dir / "disk", source->size());
        std::fstream out{dir / "disk", std::ios::in | std::ios::out | std::ios::binary};
        for (u64 at = 0; at < source->size();) {
            const auto run = need(source->run_at({at}));
            if (run.data) {
                const auto bytes = read_at(*source, at, run.length);
                out.seekp(static_cast<std::streamoff>(at));
                out.write(reinterpret_cast<const char*>(bytes.data()),
                          static_cast<std::streamsize>(bytes.size()));
            }
            at += run.length;
        }
        out.close();
        std::filesystem::create_directory(dir / ("out" + std::to_string(bits)));
        const std::string drive = (dir / "disk") + "@@32256";
        const auto copied =
            test::run("mcopy -s -i " + drive + " ::/ " + (dir / ("out" + std::to_string(bits))) +
                      " && diff -r " + (dir / "in") + " " + (dir / ("out" + std::to_string(bits))));
        INFO(copied.output);
        CHECK(copied.code == 0);
    }
}
