#include "imgtool/fs/ext.hpp"
#include "imgtool/fs/extract.hpp"
#include "imgtool/fs/fat.hpp"
#include "imgtool/fs/iso9660.hpp"
#include "imgtool/fs/partitions.hpp"
#include "imgtool/tests/memory_disk.hpp"
#include "imgtool/tests/support.hpp"

#include "base/endian.hpp"

#include <libdeflate.h>

#include <map>

using namespace img;
using base::store_le;
using base::u16;
using test::MemoryDisk;
using test::need;

namespace {

using Bytes = std::vector<u8>;

void put(Bytes& bytes, std::size_t at, std::string_view text)
{
    std::ranges::copy(text, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

void put_mbr_entry(Bytes& disk, std::size_t sector, std::size_t slot, u8 type, u32 start, u32 size)
{
    const std::size_t at = sector * 512 + 446 + slot * 16;
    disk[at + 4] = type;
    store_le<u32>(disk, at + 8, start);
    store_le<u32>(disk, at + 12, size);
    store_le<u16>(disk, sector * 512 + 510, 0xaa55);
}

void put_gpt_header(Bytes& disk, std::size_t sector, u64 entries_at)
{
    const std::size_t at = sector * 512;
    put(disk, at, "EFI PART");
    store_le<u32>(disk, at + 12, 92);
    store_le<u64>(disk, at + 72, entries_at);
    store_le<u32>(disk, at + 80, 4);
    store_le<u32>(disk, at + 84, 128);
    store_le<u32>(disk, at + 88, libdeflate_crc32(0, disk.data() + entries_at * 512, 512));
    store_le<u32>(disk, at + 16, 0);
    store_le<u32>(disk, at + 16, libdeflate_crc32(0, disk.data() + at, 92));
}

Bytes make_gpt()
{
    Bytes disk(100 * 512);
    put_mbr_entry(disk, 0, 0, 0xee, 1, 99);
    disk[2 * 512] = 0xaf; // a type
    store_le<u64>(disk, 2 * 512 + 32, 10);
    store_le<u64>(disk, 2 * 512 + 40, 19);
    disk[2 * 512 + 56] = 'r';
    disk[2 * 512 + 58] = 't';
    std::copy_n(disk.begin() + 2 * 512, 512, disk.begin() + 98 * 512);
    put_gpt_header(disk, 1, 2);
    put_gpt_header(disk, 99, 98);
    return disk;
}

/// FAT12 with one file (of the two clusters 2 and 4) that has a long name, and a folder that is in
/// itself (cluster 5). Clusters are of 512 bytes and begin with sector 4.
Bytes make_fat()
{
    Bytes disk(100 * 512);
    store_le<u16>(disk, 11, 512);
    disk[13] = 1;
    store_le<u16>(disk, 14, 1);
    disk[16] = 1;
    store_le<u16>(disk, 17, 32);
    store_le<u16>(disk, 19, 100);
    disk[21] = 0xf8;
    store_le<u16>(disk, 22, 1);
    put(disk, 512, {"\xf8\xff\xff\x04\xf0\xff\xff\xff\xff", 9}); // 2 -> 4 -> end, 3, 5: end
    const std::size_t root = 2 * 512;
    put(disk, root + 32, {"LONGNA~1TXT\x20", 12});
    u8 sum = 0;
    for (std::size_t i = 0; i < 11; ++i) {
        sum = static_cast<u8>(((sum & 1) << 7) + (sum >> 1) + disk[root + 32 + i]);
    }
    disk[root] = 0x41;
    disk[root + 11] = 0x0f;
    disk[root + 13] = sum;
    const std::u16string name = u"Long n\u00e4me.txt"; // 13 units
    constexpr std::array<std::size_t, 13> kAt{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    for (std::size_t i = 0; i < kAt.size(); ++i) {
        store_le<u16>(disk, root + kAt[i], i < name.size() ? name[i] : u16{0});
    }
    store_le<u16>(disk, root + 32 + 26, 2);
    store_le<u32>(disk, root + 32 + 28, 700);
    put(disk, root + 64, {"LOOP       \x10", 12});
    store_le<u16>(disk, root + 64 + 26, 5);
    put(disk, 7 * 512, {"LOOP       \x10", 12}); // cluster 5
    store_le<u16>(disk, 7 * 512 + 26, 5);
    std::fill_n(disk.begin() + 4 * 512, 512, u8{'a'});
    std::fill_n(disk.begin() + 6 * 512, 512, u8{'b'});
    return disk;
}

/// A file system of folders by ID, for what a real one would never have.
class OddFileSystem final : public fs::FileSystem {
public:
    std::map<u64, std::vector<fs::Entry>> folders;
    std::map<u64, std::string> files;

    std::string_view type() const override { return "odd"; }
    std::string label() const override { return ""; }
    Result<fs::Node> root() override
    {
        return fs::Node{.id = 1, .kind = fs::Kind::folder, .mode = 0755};
    }
    Result<std::vector<fs::Entry>> list(const fs::Node& folder) override
    {
        return folders[folder.id];
    }
    Status read(const fs::Node& file, u64 offset, std::span<u8> into) override
    {
        std::copy_n(files[file.id].begin() + static_cast<std::ptrdiff_t>(offset), into.size(),
                    into.begin());
        return base::ok();
    }

    void add_file(u64 folder, const std::string& name, const std::string& text)
    {
        const u64 id = 1000 + files.size();
        files[id] = text;
        folders[folder].push_back(
            {.name = name, .node = {.id = id, .size = text.size(), .mode = 04755}});
    }
    void add(u64 folder, const std::string& name, fs::Kind kind, u64 id,
             const std::string& target = "")
    {
        folders[folder].push_back(
            {.name = name, .node = {.id = id, .kind = kind, .mode = 0755, .link_target = target}});
    }
};

} // namespace

TEST_CASE("partitions: MBR with logical ones, counted as Linux does")
{
    Bytes disk(200 * 512);
    put_mbr_entry(disk, 0, 0, 0x83, 10, 20);
    put_mbr_entry(disk, 0, 2, 0x05, 40, 100);
    put_mbr_entry(disk, 40, 0, 0x0c, 1, 9);
    put_mbr_entry(disk, 40, 1, 0x05, 30, 20);
    put_mbr_entry(disk, 70, 0, 0x82, 2, 8);
    MemoryDisk memory{disk};
    const auto table = need(fs::read_partitions(memory));
    CHECK(table.kind == "mbr");
    REQUIRE(table.partitions.size() == 3);
    CHECK((table.partitions[0].number == 1 && table.partitions[0].start == 10 * 512));
    CHECK((table.partitions[1].number == 5 && table.partitions[1].start == 41 * 512));
    CHECK((table.partitions[2].number == 6 && table.partitions[2].start == 72 * 512));
    CHECK(table.partitions[2].type == "0x82");
    CHECK(table.problems.empty());

    put_mbr_entry(disk, 70, 1, 0x05, 0, 20); // back to the first
    MemoryDisk looped{disk};
    const auto cut = need(fs::read_partitions(looped));
    CHECK(cut.problems == std::vector<std::string>{"the chain of logical partitions has no end"});
}

TEST_CASE("partitions: GPT, by its copy when the first is damaged")
{
    Bytes disk = make_gpt();
    const auto read = [&] {
        MemoryDisk memory{disk};
        return fs::read_partitions(memory);
    };
    const auto table = need(read());
    CHECK(table.kind == "gpt");
    REQUIRE(table.partitions.size() == 1);
    CHECK((table.partitions[0].start == 5120 && table.partitions[0].size == 5120));
    CHECK(table.partitions[0].name == "rt");
    CHECK(table.partitions[0].type == "000000af-0000-0000-0000-000000000000");
    CHECK(table.problems.empty());
    disk[2 * 512 + 60] = 'x';
    const auto copy = need(read());
    CHECK(copy.partitions[0].name == "rt");
    CHECK(copy.problems.size() == 1);
    disk[99 * 512 + 30] ^= 1;
    CHECK(read().error().message ==
          "both copies of the GPT are damaged: the checksum of its entries is wrong");
}

TEST_CASE("fat: long names, chains, folders that are in themselves")
{
    MemoryDisk disk{make_fat()};
    auto file_system = need(fs::open_file_system(fs::Volume{disk}));
    CHECK(file_system->type() == "fat12");
    const auto entries = need(file_system->list(need(file_system->root())));
    REQUIRE(entries.size() == 2);
    CHECK(entries[0].name == "Long n\xc3\xa4me.txt");
    CHECK(entries[0].node.size == 700);
    Bytes bytes(700);
    REQUIRE(file_system->read(entries[0].node, 0, bytes));
    CHECK((bytes[511] == 'a' && bytes[512] == 'b'));
    REQUIRE(file_system->read(entries[0].node, 600, std::span{bytes}.first(100)));
    CHECK(bytes[0] == 'b');
    CHECK(need(fs::find(*file_system, "/loop/LOOP/Loop", true)).id == 5);
    CHECK(!fs::find(*file_system, "/nothing", true));

    Bytes longer = make_fat();
    store_le<u32>(longer, 2 * 512 + 32 + 28, 2000); // more than its clusters
    MemoryDisk cut{longer};
    file_system = need(fs::open_fat(fs::Volume{cut}));
    auto node = need(fs::find(*file_system, "long n\xc3\xa4me.TXT", true));
    bytes.resize(2000);
    CHECK(!file_system->read(node, 0, bytes));
}

TEST_CASE("file systems: what is none is refused")
{
    for (const std::size_t size : {0, 512, 2048, 100'000}) {
        for (const Bytes& bytes : {Bytes(size), Bytes(size, 0xff), test::noise(size, 4)}) {
            MemoryDisk disk{bytes};
            CHECK(!fs::open_file_system(fs::Volume{disk}));
        }
    }
}

TEST_CASE("find: links are followed, but not for ever and not out of the file system")
{
    OddFileSystem odd;
    odd.add(1, "d", fs::Kind::folder, 2);
    odd.add_file(2, "f", "text");
    odd.add(2, "up", fs::Kind::link, 3, "../../../../d/f");
    odd.add(2, "root", fs::Kind::link, 4, "/d");
    odd.add(1, "self", fs::Kind::link, 5, "self");
    CHECK(need(fs::find(odd, "d/up", true)).size == 4);
    CHECK(need(fs::find(odd, "d/up", false)).kind == fs::Kind::link);
    CHECK(need(fs::find(odd, "d/root/root/./../d/f", true)).size == 4);
    CHECK(need(fs::find(odd, "../..", true)).id == 1);
    CHECK(fs::find(odd, "self", true).error().message == "Too many levels of symbolic links");
    CHECK(fs::find(odd, "d/f/x", true).error().message == "Not a directory");
}

TEST_CASE("extract: nothing gets out of the destination")
{
    const test::TempDir dir;
    OddFileSystem odd;
    odd.add_file(1, "good", "text");
    odd.add_file(1, "../escaped", "bad");
    odd.add_file(1, "..", "bad");
    odd.add_file(1, "", "bad");
    odd.add_file(1, std::string{"a\0b", 3}, "bad");
    odd.add(1, "way", fs::Kind::link, 50, dir.path()); // a link, then a folder of that name
    odd.add(1, "way", fs::Kind::folder, 51);
    odd.add_file(51, "escaped", "bad");
    odd.add(1, "loop", fs::Kind::folder, 52);
    odd.add(52, "again", fs::Kind::folder, 52);
    odd.add(1, "device", fs::Kind::special, 53);
    std::vector<std::string> skipped;
    const fs::ExtractOptions options{
        .skipped = [&](const std::string&, const std::string& why) { skipped.push_back(why); }};
    REQUIRE(fs::extract(odd, need(odd.root()), dir / "out", options));
    CHECK(skipped == std::vector<std::string>{"its name cannot be used", "its name cannot be used",
                                              "its name cannot be used", "its name cannot be used",
                                              "its name is there twice",
                                              "the folder is in more than one place",
                                              "it is a device, a pipe or a socket"});
    CHECK(!std::filesystem::exists(dir / "escaped"));
    CHECK(std::filesystem::is_symlink(dir / "out/way"));
    CHECK(std::filesystem::file_size(dir / "out/good") == 4);
    const auto mode = std::filesystem::status(dir / "out/good").permissions();
    CHECK(static_cast<unsigned>(mode) == 0755); // without set-user-ID
}

TEST_CASE("extract: folders that are there are added to, nothing else is touched")
{
    const test::TempDir dir;
    OddFileSystem odd;
    odd.add_file(1, "file", "text");
    odd.add(1, "folder", fs::Kind::folder, 2);
    odd.add_file(2, "inner", "text");
    odd.add(1, "link", fs::Kind::link, 3, "x");
    odd.add(1, "other", fs::Kind::folder, 4);
    odd.add_file(4, "escaped", "bad");
    std::filesystem::create_directories(dir / "out/folder");
    std::filesystem::create_directories(dir / "elsewhere");
    test::write_file(dir / "out/file", std::vector<u8>{'o', 'l', 'd'});
    std::filesystem::create_symlink(dir / "elsewhere", dir / "out/other");
    std::vector<std::string> skipped;
    const fs::ExtractOptions options{
        .skipped = [&](const std::string& path, const std::string& why) {
            skipped.push_back(path.substr(dir.path().size()) + ": " + why);
        }};

    REQUIRE(fs::extract(odd, need(odd.root()), dir / "out/.", options));
    CHECK(skipped == std::vector<std::string>{"/out/file: File exists", "/out/other: File exists"});
    CHECK(std::filesystem::file_size(dir / "out/file") == 3);
    CHECK(std::filesystem::file_size(dir / "out/folder/inner") == 4);
    CHECK(std::filesystem::is_symlink(dir / "out/link"));
    CHECK(std::filesystem::is_empty(dir / "elsewhere"));
    skipped.clear();
    REQUIRE(fs::extract(odd, odd.folders[1][0].node, dir / "out/file", options));
    CHECK(skipped == std::vector<std::string>{"/out/file: File exists"});
}

TEST_CASE("extract: half a file is not left")
{
    const test::TempDir dir;
    OddFileSystem odd;
    odd.add_file(1, "file", "text");
    const fs::ExtractOptions options{.skipped = [](const std::string&, const std::string&) {},
                                     .progress = [](base::u64) { return false; }};

    CHECK_FALSE(fs::extract(odd, odd.folders[1][0].node, dir / "file", options));
    CHECK_FALSE(std::filesystem::exists(dir / "file"));
}
