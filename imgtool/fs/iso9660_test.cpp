#include "imgtool/fs/iso9660.hpp"
#include "imgtool/tests/memory_disk.hpp"
#include "imgtool/tests/support.hpp"

#include "base/endian.hpp"

#include <array>

using namespace img;
using base::store_le;
using base::u16;
using test::MemoryDisk;
using test::need;

namespace {

using Bytes = std::vector<u8>;

constexpr std::size_t kSector = 2048; // bytes
constexpr std::size_t kRootAt = 24 * kSector;

constexpr std::string_view kXa{"\0\0\0\0\x11\x11XA\0\0\0\0\0\0", 14};
constexpr std::string_view kPosix{"PX\x24\1\xa4\x81\0\0\0\0\x81\xa4\1\0\0\0\0\0\0\1"
                                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                                  36};

void put(Bytes& bytes, std::size_t at, std::string_view text)
{
    std::ranges::copy(text, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

/// A directory record (9.1); returns where the next one goes.
std::size_t put_record(Bytes& disk, std::size_t at, std::string_view name, u32 sector, u32 size,
                       u8 flags, std::string_view system_use = {})
{
    const std::size_t padded = 33 + name.size() + (name.size() % 2 == 0 ? 1 : 0);
    disk[at] = static_cast<u8>(padded + system_use.size());
    store_le<u32>(disk, at + 2, sector);
    store_le<u32>(disk, at + 10, size);
    disk[at + 25] = flags;
    disk[at + 32] = static_cast<u8>(name.size());
    put(disk, at + 33, name);
    put(disk, at + padded, system_use);
    return at + disk[at];
}

void put_descriptor(Bytes& disk, std::size_t sector, u8 type, u8 version)
{
    const std::size_t at = sector * kSector;
    disk[at] = type;
    put(disk, at + 1, "CD001");
    disk[at + 6] = version;
    store_le<u16>(disk, at + 128, kSector);
    put_record(disk, at + 156, std::string_view{"\0", 1}, 24, 2 * kSector, 2);
}

/// A primary descriptor, an end, and a root folder of two sectors, with no more in it than itself.
Bytes make_iso(std::string_view system_use = {})
{
    Bytes disk(32 * kSector);
    put_descriptor(disk, 16, 1, 1);
    put_descriptor(disk, 17, 255, 1);
    put_record(disk, kRootAt, std::string_view{"\0", 1}, 24, 2 * kSector, 2, system_use);
    return disk;
}

std::size_t first_record(const Bytes& disk)
{
    return kRootAt + disk[kRootAt];
}

struct Opened {
    MemoryDisk disk;
    std::unique_ptr<fs::FileSystem> file_system;

    explicit Opened(Bytes bytes)
        : disk{std::move(bytes)}, file_system{need(fs::open_iso9660(fs::Volume{disk}))}
    {}
    fs::Listing list() const { return need(file_system->list(need(file_system->root()))); }
    std::string first_name() const { return list().entries.at(0).name; }
};

/// "SP" of SUSP 5.3, with the bytes to skip in other records, and "PX", which is Rock Ridge's.
std::string system_use_of_root(u8 skip)
{
    std::string field{"SP\x7\1\xbe\xef", 6};
    field += static_cast<char>(skip);
    return field += kPosix;
}

std::string name_entry(std::string_view name)
{
    std::string field{"NM"};
    field += static_cast<char>(5 + name.size());
    field += '\1';
    field += '\0';
    return field += name;
}

} // namespace

TEST_CASE("iso9660: Rock Ridge is found behind CD-XA records, whatever is to be skipped")
{
    const std::string xa{kXa};
    for (const u8 skip : {u8{14}, u8{0}}) {
        Bytes disk = make_iso(xa + system_use_of_root(skip));
        put_record(disk, first_record(disk), "A.;1", 30, 5, 0, xa + name_entry("A long name.text"));
        CHECK(Opened{disk}.first_name() == "A long name.text");
    }
    Bytes disk = make_iso(system_use_of_root(0)); // without CD-XA
    put_record(disk, first_record(disk), "A.;1", 30, 5, 0, name_entry("b"));
    CHECK(Opened{disk}.first_name() == "b");
    disk = make_iso(xa); // CD-XA alone
    put_record(disk, first_record(disk), "A.;1", 30, 5, 0, xa);
    CHECK(Opened{disk}.first_name() == "A");
}

TEST_CASE("iso9660: names lose their version only, and those of level 4 nothing")
{
    const auto name_of = [](std::string_view name, bool enhanced) {
        Bytes disk = make_iso();
        if (enhanced) {
            put_descriptor(disk, 17, 2, 2);
            put_descriptor(disk, 18, 255, 1);
        }
        put_record(disk, first_record(disk), name, 30, 5, 0);
        return Opened{disk}.first_name();
    };
    CHECK(name_of("A.TXT;1", false) == "A.TXT");
    CHECK(name_of("A.;12", false) == "A");
    CHECK(name_of("a;b.c", false) == "a;b.c");
    CHECK(name_of("semi;colon;7", true) == "semi;colon;7");
    CHECK(name_of("dot.", true) == "dot.");
}

TEST_CASE("iso9660: a damaged record hides what is behind it in its sector, no more")
{
    Bytes disk = make_iso();
    std::size_t at = put_record(disk, first_record(disk), "A.;1", 30, 5, 0);
    disk[at] = 20; // shorter than any record
    put_record(disk, kRootAt + kSector, "B.;1", 30, 5, 0);
    const auto listing = Opened{disk}.list();
    CHECK(listing.problem == "a folder is damaged");
    REQUIRE(listing.entries.size() == 2);
    CHECK(listing.entries[0].name == "A");
    CHECK(listing.entries[1].name == "B");
}

TEST_CASE("iso9660: names that have no end leave their file the other name")
{
    Bytes disk = make_iso(system_use_of_root(0));
    std::string around{"CE\x1c\1", 4}; // SUSP 5.1: goes on where it is itself
    around += std::string{"\x1e\0\0\0\0\0\0\x1e\0\0\0\0\0\0\0\0\x1c\0\0\0\0\0\0\x1c", 24};
    put(disk, 30 * kSector, around);
    const std::size_t at = put_record(disk, first_record(disk), "A.;1", 31, 5, 0, around);
    put_record(disk, at, "B.;1", 31, 5, 0, name_entry("bee"));
    const auto listing = Opened{disk}.list();
    CHECK(listing.problem == "what belongs to a file's name has no end");
    REQUIRE(listing.entries.size() == 2);
    CHECK(listing.entries[0].name == "A");
    CHECK(listing.entries[1].name == "bee");
}

TEST_CASE("iso9660: what a firmware can start is told")
{
    Bytes disk = make_iso();
    put_descriptor(disk, 17, 0, 1);
    put(disk, 17 * kSector + 7, "EL TORITO SPECIFICATION");
    store_le<u32>(disk, 17 * kSector + 0x47, 28); // the catalog
    put_descriptor(disk, 18, 255, 1);
    const std::size_t catalog = 28 * kSector;
    const auto put_boot = [&](std::size_t i, u8 indicator, u8 media, u16 sectors, u32 at) {
        disk[catalog + i * 32] = indicator;
        disk[catalog + i * 32 + 1] = media;
        store_le<u16>(disk, catalog + i * 32 + 6, sectors);
        store_le<u32>(disk, catalog + i * 32 + 8, at);
    };
    put(disk, catalog, {"\1\0\0\0", 4});
    put(disk, catalog + 28, "\xaa\x55\x55\xaa"); // the sum of the words is 0
    put_boot(1, 0x88, 0, 4, 20);
    put(disk, catalog + 64, {"\x91\xef\2\0", 4}); // the last section: EFI, two entries
    put_boot(3, 0x88, 0x20, 1, 21);
    disk[catalog + 4 * 32] = 0x44; // an extension of that one
    put_boot(5, 0, 2, 1, 22);
    {
        const Opened iso{disk};
        const auto entries = need(iso.file_system->boot_entries());
        REQUIRE(entries.size() == 3);
        CHECK((entries[0].platform == "x86" && entries[0].emulation == "none"));
        CHECK((entries[0].start == 40960 && entries[0].size == 2048 && entries[0].bootable));
        CHECK((entries[1].platform == "EFI" && entries[1].start == 43008));
        CHECK((entries[2].emulation == "floppy 1.44M" && !entries[2].bootable));
    }
    disk[catalog + 5] ^= 1; // the sum
    CHECK(Opened{disk}.file_system->boot_entries().error().message ==
          "the boot catalog is damaged");
    store_le<u32>(disk, 17 * kSector + 0x47, 0xffffffff);
    CHECK(!Opened{disk}.file_system->boot_entries());
    CHECK(need(Opened{make_iso()}.file_system->boot_entries()).empty());
}

TEST_CASE("iso9660: UDF beside it is named, and UDF alone")
{
    Bytes disk = make_iso();
    put(disk, 18 * kSector + 1, "BEA01");
    put(disk, 19 * kSector + 1, "NSR02");
    put(disk, 20 * kSector + 1, "TEA01");
    CHECK(Opened{disk}.file_system->note().find("UDF") != std::string::npos);
    CHECK(Opened{make_iso()}.file_system->note().empty());
    std::fill_n(disk.begin() + 16 * kSector, 2 * kSector, u8{0}); // ISO 9660 is gone
    MemoryDisk alone{disk};
    CHECK(fs::open_file_system(fs::Volume{alone}).error().message == "not supported: udf");
}
