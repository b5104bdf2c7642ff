#include "imgtool/fs/ext.hpp"
#include "imgtool/fs/ext_layout.hpp"
#include "imgtool/tests/memory_disk.hpp"
#include "imgtool/tests/support.hpp"

#include "base/endian.hpp"

using namespace img;
using base::store_le;
using base::u16;
using test::MemoryDisk;
using test::need;

namespace {

using Bytes = std::vector<u8>;

constexpr std::size_t kBlock = 1024; // bytes
constexpr std::size_t kSuper = 1024;
constexpr std::size_t kInodeTable = 4 * kBlock;
constexpr std::size_t kRootFolder = 8 * kBlock;

void put_inode(Bytes& disk, unsigned number, u16 mode, u32 size, u32 block)
{
    const std::size_t at = kInodeTable + (number - 1) * 128;
    store_le<u16>(disk, at, mode);
    store_le<u32>(disk, at + 4, size);
    store_le<u32>(disk, at + 40, block);
}

/// Returns where the next entry goes.
std::size_t put_entry(Bytes& disk, std::size_t at, u32 inode, std::string_view name, u8 type,
                      u16 length)
{
    store_le<u32>(disk, at, inode);
    store_le<u16>(disk, at + 4, length);
    disk[at + 6] = static_cast<u8>(name.size());
    disk[at + 7] = type;
    std::ranges::copy(name, disk.begin() + static_cast<std::ptrdiff_t>(at + 8));
    return at + length;
}

/// Blocks of 1 KiB in clusters, so that the first data block is 0; a root folder of two blocks with
/// the files "one", "two" and "three".
Bytes make_ext()
{
    Bytes disk(64 * kBlock);
    store_le<u32>(disk, kSuper, 16);        // inodes
    store_le<u32>(disk, kSuper + 4, 64);    // blocks
    store_le<u32>(disk, kSuper + 32, 8192); // blocks per group
    store_le<u32>(disk, kSuper + 40, 16);   // inodes per group
    store_le<u16>(disk, kSuper + 56, 0xef53);
    store_le<u32>(disk, kSuper + 76, 1);      // revision
    store_le<u16>(disk, kSuper + 88, 128);    // inode size
    store_le<u32>(disk, kSuper + 96, 2);      // filetype
    store_le<u32>(disk, kSuper + 100, 0x200); // bigalloc
    store_le<u32>(disk, 2 * kBlock + 8, 4);   // the descriptor: where the inodes are
    put_inode(disk, 2, 0x41ed, 2 * kBlock, 8);
    store_le<u32>(disk, kInodeTable + 128 + 44, 9);
    put_inode(disk, 11, 0x81a4, 3, 10);
    put_inode(disk, 12, 0x81a4, 3, 11);
    put_inode(disk, 13, 0x81a4, 5, 12);
    std::size_t at = put_entry(disk, kRootFolder, 2, ".", 2, 12);
    at = put_entry(disk, at, 2, "..", 2, 12);
    at = put_entry(disk, at, 11, "one", 1, 12);
    put_entry(disk, at, 12, "two", 1, static_cast<u16>(kRootFolder + kBlock - at));
    put_entry(disk, kRootFolder + kBlock, 13, "three", 1, kBlock);
    std::ranges::copy(std::string_view{"111"}, disk.begin() + 10 * kBlock);
    std::ranges::copy(std::string_view{"22222"}, disk.begin() + 12 * kBlock);
    return disk;
}

struct Opened {
    MemoryDisk disk;
    std::unique_ptr<fs::FileSystem> file_system;

    explicit Opened(Bytes bytes)
        : disk{std::move(bytes)}, file_system{need(fs::open_ext(fs::Volume{disk}))}
    {}
    fs::Listing list() const { return need(file_system->list(need(file_system->root()))); }
};

std::string refusal(const Bytes& bytes)
{
    MemoryDisk disk{bytes};
    const auto opened = fs::open_ext(fs::Volume{disk});
    return opened ? "accepted" : opened.error().message;
}

fs::ext::Super super_of(u32 block_size, u32 first_data_block)
{
    return {.block_size = block_size,
            .blocks = u64{1} << 24,
            .first_data_block = first_data_block,
            .inodes = 1 << 20,
            .inodes_per_group = 256,
            .blocks_per_group = 8192,
            .groups = 2048};
}

} // namespace

TEST_CASE("ext: with clusters and blocks of 1 KiB, the first data block is 0")
{
    const Opened ext{make_ext()};
    CHECK(ext.file_system->type() == "ext4");
    const auto listing = ext.list();
    CHECK(listing.problem.empty());
    REQUIRE(listing.entries.size() == 3);
    CHECK(listing.entries[0].name == "one");
    CHECK(listing.entries[2].name == "three");
    Bytes bytes(5);
    REQUIRE(ext.file_system->read(listing.entries[2].node, 0, bytes));
    CHECK(bytes == Bytes(5, u8{'2'}));
}

TEST_CASE("ext: where group descriptors are")
{
    using fs::ext::descriptor_at;
    auto s = super_of(1024, 1); // 32 descriptors a block
    CHECK(descriptor_at(s, 0) == 2 * 1024);
    CHECK(descriptor_at(s, 33) == 3 * 1024 + 32);
    CHECK(descriptor_at(super_of(4096, 0), 0) == 4096);
    CHECK(descriptor_at(super_of(1024, 0), 0) == 2 * 1024); // bigalloc

    s.incompatible = fs::ext::incompat::meta_bg;
    s.read_only_compatible = 1; // sparse_super
    CHECK(descriptor_at(s, 31) == 2 * 1024 + 31 * 32);
    CHECK(descriptor_at(s, 32) == (1 + u64{32} * 8192) * 1024); // no superblock before it
    CHECK(descriptor_at(s, 64 + 5) == (1 + u64{64} * 8192) * 1024 + 5 * 32);
    s.first_meta_group = 2; // those before are where they always were
    CHECK(descriptor_at(s, 32) == 3 * 1024);
    CHECK(descriptor_at(s, 64) == (1 + u64{64} * 8192) * 1024);
    s.first_meta_group = 0;
    s.read_only_compatible = 0; // all groups have a copy
    CHECK(descriptor_at(s, 32) == (2 + u64{32} * 8192) * 1024);
    s.compatible = 0x200; // sparse_super2: two groups have
    s.backup_groups = {1, 64};
    CHECK(descriptor_at(s, 32) == (1 + u64{32} * 8192) * 1024);
    CHECK(descriptor_at(s, 64) == (2 + u64{64} * 8192) * 1024);
    s.first_data_block = 0; // bigalloc too
    CHECK(descriptor_at(s, 0) == 2 * 1024);
    CHECK(descriptor_at(s, 32) == u64{32} * 8192 * 1024);

    s = super_of(1024, 1);
    s.descriptor_size = 64; // 16 a block
    CHECK(descriptor_at(s, 17) == 3 * 1024 + 64);
}

TEST_CASE("ext: a bad inode does not hide its folder, nor does a bad block of it")
{
    Bytes bytes = make_ext();
    store_le<u32>(bytes, kRootFolder + 24, 0x7fffffff); // the inode of "one"
    {
        const Opened ext{bytes};
        const auto listing = ext.list();
        CHECK(listing.problem.empty());
        REQUIRE(listing.entries.size() == 3);
        CHECK(listing.entries[0].name == "one");
        CHECK(listing.entries[0].node.refusal == "a folder refers to an inode that does not exist");
        CHECK(listing.entries[1].node.refusal.empty());
        CHECK(need(fs::find(*ext.file_system, "/three", true)).size == 5);
    }
    bytes[kRootFolder + 24 + 6] = 255; // its name is longer than the entry
    const Opened ext{bytes};
    const auto listing = ext.list();
    CHECK(listing.problem == "a folder is damaged");
    REQUIRE(listing.entries.size() == 1);
    CHECK(listing.entries[0].name == "three");
    CHECK(need(fs::find(*ext.file_system, "/three", true)).size == 5);
    CHECK(fs::find(*ext.file_system, "/two", true).error().message == "a folder is damaged");
}

TEST_CASE("ext: only what is damaged is called so, and features have their names")
{
    Bytes bytes = make_ext();
    store_le<u32>(bytes, kSuper + 96, 0x8);
    CHECK(refusal(bytes) == "not supported: an ext file system with journal_dev");
    store_le<u32>(bytes, kSuper + 96, 0x40001002);
    CHECK(refusal(bytes) == "not supported: an ext file system with dirdata, incompat bit 30");
    store_le<u32>(bytes, kSuper + 96, 2);
    store_le<u32>(bytes, kSuper + 40, 0);
    CHECK(refusal(bytes) == "the ext file system's superblock is damaged");
    bytes = make_ext();
    store_le<u16>(bytes, kSuper + 56, 0);
    CHECK(refusal(bytes) == "this is not an ext file system");
}

TEST_CASE("ext: encrypted and compressed files are refused, the wish for compression is not")
{
    Bytes bytes = make_ext();
    const auto flags_of = [&](unsigned inode) { return kInodeTable + (inode - 1) * 128 + 32; };
    store_le<u32>(bytes, flags_of(11), 0x800); // encrypted
    store_le<u32>(bytes, flags_of(12), 0x4);   // chattr +c
    store_le<u32>(bytes, flags_of(13), 0x200); // has compressed blocks, where there can be such
    const auto refusal_of = [&](std::size_t i) {
        return Opened{bytes}.list().entries[i].node.refusal;
    };
    CHECK(refusal_of(0) == "not supported: encrypted files of ext4");
    CHECK(refusal_of(1) == "");
    CHECK(refusal_of(2) == "");
    store_le<u32>(bytes, kSuper + 96, 0x3);
    CHECK(refusal_of(1) == "");
    CHECK(refusal_of(2) == "not supported: compressed files of ext2");
    store_le<u32>(bytes, flags_of(2), 0x800);
    const Opened ext{bytes};
    CHECK(ext.file_system->list(need(ext.file_system->root())).error().message ==
          "not supported: encrypted files of ext4");
}

TEST_CASE("ext: the upper half of a size is of files only")
{
    Bytes bytes = make_ext();
    store_le<u32>(bytes, kInodeTable + 128 + 108, 77); // the root folder's access control list
    const Opened ext{bytes};
    CHECK(ext.list().entries.size() == 3);
    store_le<u32>(bytes, kInodeTable + 10 * 128 + 108, 1);
    CHECK(Opened{bytes}.list().entries[0].node.size == 0x1'0000'0003);
}
