#include "imgtool/fs/ext.hpp"

#include "base/endian.hpp"
#include "imgtool/fs/ext_layout.hpp"

#include <algorithm>
#include <array>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

using ext::Super;
namespace incompat = ext::incompat;

constexpr std::size_t kMapSize = 60;       // bytes of i_block
constexpr u64 kMaxFolder = u64{256} << 20; // bytes
constexpr unsigned kMaxExtentDepth = 5;    // the ext4 pages, "Extent Tree"
constexpr u64 kMaxLink = 64 << 10;         // bytes

// Of i_flags.
constexpr u32 kHasCompressed = 0x200; // blocks; 0x4 is no more than the wish to have them
constexpr u32 kEncrypted = 0x800;
constexpr u32 kExtents = 0x80000;
constexpr u32 kInlineData = 0x10000000;

/// "Index Nodes".
struct Inode {
    u32 number = 0;
    u16 mode = 0;
    u64 size = 0; // bytes
    u32 flags = 0;
    u32 user = 0, group = 0;
    UnixTime modified = 0;
    std::array<u8, kMapSize> map{};
    std::vector<u8> raw = {}; // all of it
};

/// Blocks of a file that are next to each other on the disk, or a hole.
struct Run {
    u64 block = 0; // on the disk; 0: a hole, or not written to yet
    u64 count = 1;
};

/// The type of file, of an inode's mode.
Kind kind_of_mode(u16 mode)
{
    switch (mode & 0xf000) {
    case 0x4000:
        return Kind::folder;
    case 0x8000:
        return Kind::file;
    case 0xa000:
        return Kind::link;
    default:
        return Kind::special;
    }
}

/// The same of a folder's entry, which has it when the inode is of no use: "Linear Directories".
Kind kind_of_entry(u8 file_type)
{
    switch (file_type & 0x0f) {
    case 0: // not known: without the feature "filetype"
    case 1:
        return Kind::file;
    case 2:
        return Kind::folder;
    case 7:
        return Kind::link;
    default:
        return Kind::special;
    }
}

class Ext final : public FileSystem {
public:
    Ext(const Volume& volume, Super super) : volume_{volume}, super_{std::move(super)} {}

    std::string_view type() const override { return super_.type(); }
    std::string label() const override { return super_.label; }
    std::string note() const override
    {
        return super_.has(incompat::recover) ? "the file system was not closed cleanly, "
                                               "and its journal is not replayed: what "
                                               "was written last may be missing or wrong"
                                             : "";
    }

    Result<Node> root() override { return node_of(ext::kRootInode); }
    Result<Listing> list(const Node& folder) override;
    Status read(const Node& file, u64 offset, std::span<u8> into) override;
    Result<std::string> target(const Node& link) override;

private:
    Result<std::span<const u8>> block(u64 number, std::vector<u8>& cache, u64& cached);
    Result<u64> inode_table(u64 group);
    Result<Inode> load(u64 number);
    Result<Node> node_of(u64 number);
    Result<const Inode*> open(u64 number);

    Result<Run> map(const Inode& inode, u64 block);
    Result<Run> map_extents(const Inode& inode, u64 block);
    Result<Run> map_indirect(const Inode& inode, u64 block);
    Status read_mapped(const Inode& inode, u64 offset, std::span<u8> into);
    Result<std::vector<u8>> inline_data(const Inode& inode);
    void parse_folder(std::span<const u8> bytes, Listing& listing);
    void list_inline(const Inode& inode, Listing& listing);

    Volume volume_;
    Super super_;
    Inode open_; // the one that was read last; number 0: none
    std::array<std::vector<u8>, kMaxExtentDepth + 1> caches_; // blocks of maps, by depth
    std::array<u64, kMaxExtentDepth + 1> cached_{};           // their numbers; 0: none
};

/// A block that says where others are.
Result<std::span<const u8>> Ext::block(u64 number, std::vector<u8>& cache, u64& cached)
{
    if (number == 0 || number != cached) {
        cached = 0;
        cache.resize(super_.block_size);
        if (number >= super_.blocks) {
            return fail(Errc::corrupt, "a file refers to a block past the end of the file system");
        }
        if (auto done = volume_.read(number * super_.block_size, cache); !done) {
            return std::move(done).error();
        }
        cached = number;
    }
    return std::span<const u8>{cache};
}

/// Where a group's inodes are: "Block Group Descriptors".
Result<u64> Ext::inode_table(u64 group)
{
    std::array<u8, 64> bytes{};
    const auto descriptor = std::span{bytes}.first(super_.descriptor_size >= 64 ? 64 : 32);
    if (auto done = volume_.read(ext::descriptor_at(super_, group), descriptor); !done) {
        return std::move(done).error();
    }
    return load_le<u32>(bytes, 8) | u64{load_le<u32>(bytes, 40)} << 32;
}

Result<Inode> Ext::load(u64 number)
{
    if (number == 0 || number > super_.inodes) {
        return fail(Errc::corrupt, "a folder refers to an inode that does not exist");
    }
    const u64 group = (number - 1) / super_.inodes_per_group;
    if (group >= super_.groups) {
        return fail(Errc::corrupt, "a folder refers to an inode that does not exist");
    }
    auto table = inode_table(group);
    if (!table) {
        return std::move(table).error();
    }
    if (table.value() >= super_.blocks) {
        return fail(Errc::corrupt, "the inodes are past the end of the file system");
    }
    Inode inode{.number = static_cast<u32>(number)};
    inode.raw.resize(super_.inode_size);
    if (auto done = volume_.read(table.value() * super_.block_size +
                                     (number - 1) % super_.inodes_per_group * super_.inode_size,
                                 inode.raw);
        !done) {
        return std::move(done).error();
    }
    const std::span<const u8> b{inode.raw};
    inode.mode = load_le<u16>(b, 0);
    inode.size = load_le<u32>(b, 4);
    // Of others than files, this was once the block of an access control list.
    if (kind_of_mode(inode.mode) == Kind::file || super_.has(incompat::largedir)) {
        inode.size |= u64{load_le<u32>(b, 108)} << 32;
    }
    inode.flags = load_le<u32>(b, 32);
    inode.user = load_le<u16>(b, 2) | u32{load_le<u16>(b, 120)} << 16;
    inode.group = load_le<u16>(b, 24) | u32{load_le<u16>(b, 122)} << 16;
    inode.modified = static_cast<std::int32_t>(load_le<u32>(b, 16));
    if (super_.inode_size > 128 && load_le<u16>(b, 128) >= 12) {
        // "Inode Timestamps": two more bits of the seconds.
        inode.modified += static_cast<UnixTime>(load_le<u32>(b, 136) & 3) << 32;
    }
    std::copy_n(b.begin() + 40, kMapSize, inode.map.begin());
    return inode;
}

Result<Node> Ext::node_of(u64 number)
{
    auto loaded = load(number);
    if (!loaded) {
        return std::move(loaded).error();
    }
    const Inode& inode = loaded.value();
    const Kind kind = kind_of_mode(inode.mode);
    Node node{.id = number,
              .kind = kind,
              .size = kind == Kind::special ? 0 : inode.size,
              .mode = inode.mode & 07777U,
              .user = inode.user,
              .group = inode.group,
              .modified = inode.modified};
    if (node.size >> 63 != 0) {
        return fail(Errc::corrupt, "a file has an impossible size");
    }
    if ((inode.flags & kEncrypted) != 0) {
        node.refusal = "not supported: encrypted files of ext4";
    } else if (super_.has(incompat::compression) && (inode.flags & kHasCompressed) != 0) {
        node.refusal = "not supported: compressed files of ext2";
    }
    return node;
}

Result<const Inode*> Ext::open(u64 number)
{
    if (open_.number != number) {
        auto loaded = load(number);
        if (!loaded) {
            return std::move(loaded).error();
        }
        open_ = std::move(loaded).value();
    }
    return &open_;
}

Result<Run> Ext::map(const Inode& inode, u64 block)
{
    return (inode.flags & kExtents) != 0 ? map_extents(inode, block) : map_indirect(inode, block);
}

/// "Extent Tree": from the inode down to the leaf that has the block.
Result<Run> Ext::map_extents(const Inode& inode, u64 wanted)
{
    std::span<const u8> node{inode.map};
    unsigned depth = load_le<u16>(node, 6);
    if (depth > kMaxExtentDepth) {
        return fail(Errc::corrupt, "an extent tree is too deep");
    }
    u64 hole_end = u64{1} << 32; // where the next thing begins that is known of
    for (;; --depth) {
        const std::size_t entries = load_le<u16>(node, 2);
        if (load_le<u16>(node, 0) != 0xf30a || load_le<u16>(node, 6) != depth ||
            12 + entries * 12 > node.size()) {
            return fail(Errc::corrupt, "an extent tree is damaged");
        }
        // The last entry that does not begin after the block.
        std::span<const u8> chosen;
        for (std::size_t i = 0; i < entries; ++i) {
            const auto entry = node.subspan(12 + i * 12, 12);
            if (load_le<u32>(entry, 0) > wanted) {
                hole_end = std::min<u64>(hole_end, load_le<u32>(entry, 0));
                break;
            }
            chosen = entry;
        }
        const Run hole{.block = 0, .count = hole_end > wanted ? hole_end - wanted : 1};
        if (chosen.empty()) {
            return hole;
        }
        const u64 first = load_le<u32>(chosen, 0);
        if (depth == 0) {
            const u64 length = load_le<u16>(chosen, 4);
            const bool written = length <= 32768;
            const u64 count = written ? length : length - 32768;
            if (wanted - first >= count) {
                return hole;
            }
            const u64 start = load_le<u32>(chosen, 8) | u64{load_le<u16>(chosen, 6)} << 32;
            return Run{.block = written ? start + (wanted - first) : 0,
                       .count = count - (wanted - first)};
        }
        const u64 below = load_le<u32>(chosen, 4) | u64{load_le<u16>(chosen, 8)} << 32;
        auto next = this->block(below, caches_[depth], cached_[depth]);
        if (!next) {
            return std::move(next).error();
        }
        node = next.value();
    }
}

/// "Direct/Indirect Block Addressing".
Result<Run> Ext::map_indirect(const Inode& inode, u64 wanted)
{
    constexpr u64 kDirect = 12;
    if (wanted < kDirect) {
        return Run{.block = load_le<u32>(inode.map, wanted * 4)};
    }
    const u64 per_block = super_.block_size / 4;
    u64 index = wanted - kDirect;
    u64 span = per_block; // blocks that one pointer of this level leads to
    unsigned level = 1;
    for (; level <= 3 && index >= span; ++level) {
        index -= span;
        span *= per_block;
    }
    if (level > 3) {
        return fail(Errc::corrupt, "a file is longer than its blocks can be");
    }
    u64 at = load_le<u32>(inode.map, (kDirect + level - 1) * 4);
    for (; level > 0; --level) {
        if (at == 0) {
            return Run{.block = 0, .count = span - index % span};
        }
        auto pointers = this->block(at, caches_[level], cached_[level]);
        if (!pointers) {
            return std::move(pointers).error();
        }
        span /= per_block;
        at = load_le<u32>(pointers.value(), index / span % per_block * 4);
    }
    return Run{.block = at};
}

Status Ext::read_mapped(const Inode& inode, u64 offset, std::span<u8> into)
{
    const u64 size = super_.block_size;
    while (!into.empty()) {
        auto run = map(inode, offset / size);
        if (!run) {
            return std::move(run).error();
        }
        const u64 within = offset % size;
        const u64 left = run.value().count * size - within; // counts are below 2^32
        const auto part = into.first(std::min<u64>(into.size(), left));
        if (run.value().block == 0) {
            std::ranges::fill(part, u8{0});
        } else if (run.value().block >= super_.blocks) {
            return fail(Errc::corrupt, "a file refers to a block past the end of the file system");
        } else if (auto done = volume_.read(run.value().block * size + within, part); !done) {
            return done;
        }
        into = into.subspan(part.size());
        offset += part.size();
    }
    return base::ok();
}

/// "Inline Data": the first 60 bytes are in place of the map, the rest in the attribute
/// system.data behind the inode's fields ("Extended Attributes").
Result<std::vector<u8>> Ext::inline_data(const Inode& inode)
{
    std::vector<u8> bytes{inode.map.begin(), inode.map.end()};
    const std::span<const u8> raw{inode.raw};
    const auto damaged = [] { return fail(Errc::corrupt, "the data in an inode is damaged"); };
    const std::size_t extra = raw.size() > 130 ? load_le<u16>(raw, 128) : 0;
    const std::size_t begin = 128 + extra;
    if (inode.size > kMapSize && begin + 4 < raw.size() && load_le<u32>(raw, begin) == 0xea020000) {
        const auto values = raw.subspan(begin + 4);
        for (std::size_t at = 0; at + 16 <= values.size();) {
            const auto e = values.subspan(at);
            const std::size_t name_length = e[0];
            if (load_le<u32>(e, 0) == 0) {
                break;
            }
            if (16 + name_length > e.size()) {
                return damaged();
            }
            const std::size_t value_at = load_le<u16>(e, 2);
            const std::size_t length = load_le<u32>(e, 8);
            const std::string_view name{reinterpret_cast<const char*>(e.data()) + 16, name_length};
            constexpr u8 kSystem = 7;
            if (e[1] == kSystem && name == "data") {
                if (load_le<u32>(e, 4) != 0) {
                    return fail(Errc::unsupported, "not supported: inline data in another inode");
                }
                if (value_at > values.size() || length > values.size() - value_at) {
                    return damaged();
                }
                const auto value = values.subspan(value_at, length);
                bytes.insert(bytes.end(), value.begin(), value.end());
                break;
            }
            at += (16 + name_length + 3) / 4 * 4;
        }
    }
    if (bytes.size() < inode.size) {
        return damaged();
    }
    bytes.resize(inode.size);
    return bytes;
}

Status Ext::read(const Node& file, u64 offset, std::span<u8> into)
{
    auto opened = open(file.id);
    if (!opened) {
        return std::move(opened).error();
    }
    const Inode& inode = *opened.value();
    if ((inode.flags & kInlineData) == 0) {
        return read_mapped(inode, offset, into);
    }
    auto bytes = inline_data(inode);
    if (!bytes) {
        return std::move(bytes).error();
    }
    if (offset > bytes.value().size() || into.size() > bytes.value().size() - offset) {
        return fail(Errc::corrupt, "the data in an inode is damaged");
    }
    std::copy_n(bytes.value().begin() + static_cast<std::ptrdiff_t>(offset), into.size(),
                into.begin());
    return base::ok();
}

/// "Linear Directories". The inner nodes of hashed ones look like unused entries to us.
void Ext::parse_folder(std::span<const u8> bytes, Listing& listing)
{
    while (bytes.size() >= 8) {
        const u32 number = load_le<u32>(bytes, 0);
        u64 length = load_le<u16>(bytes, 4);
        const std::size_t name_length = bytes[6];
        if (length >= 65532 || (length == 0 && super_.block_size == 65536)) {
            length = super_.block_size; // what does not fit the field
        }
        if (length < 8 || length > bytes.size() || 8 + name_length > length) {
            listing.problem = "a folder is damaged";
            return;
        }
        const std::string name{reinterpret_cast<const char*>(bytes.data()) + 8, name_length};
        if (number != 0 && name_length != 0 && name != "." && name != "..") {
            if (listing.entries.size() == kMaxEntries) {
                listing.problem = "a folder has too many entries";
                return;
            }
            auto node = node_of(number);
            // The name is there all the same, and so are its neighbours.
            listing.entries.push_back({.name = name,
                                       .node = node ? std::move(node).value()
                                                    : Node{.id = number,
                                                           .kind = kind_of_entry(bytes[7]),
                                                           .refusal = node.error().message}});
        }
        bytes = bytes.subspan(length);
    }
}

/// The parent's number, then entries in the map's place and in the attribute, each by itself.
void Ext::list_inline(const Inode& inode, Listing& listing)
{
    auto bytes = inline_data(inode);
    if (!bytes) {
        listing.problem = bytes.error().message;
        return;
    }
    const std::span<const u8> all{bytes.value()};
    const std::size_t first = std::min(all.size(), kMapSize);
    if (first >= 4) {
        parse_folder(all.subspan(4, first - 4), listing);
    }
    parse_folder(all.subspan(first), listing);
}

Result<Listing> Ext::list(const Node& folder)
{
    if (!folder.refusal.empty()) {
        return fail(Errc::unsupported, folder.refusal);
    }
    auto loaded = load(folder.id);
    if (!loaded) {
        return std::move(loaded).error();
    }
    const Inode& inode = loaded.value();
    Listing listing;
    if ((inode.flags & kInlineData) != 0) {
        list_inline(inode, listing);
        return listing;
    }
    if (inode.size > kMaxFolder || inode.size > volume_.size()) {
        return fail(Errc::corrupt, "a folder is too long");
    }
    std::vector<u8> bytes(super_.block_size);
    for (u64 at = 0; at < inode.size && listing.entries.size() < kMaxEntries; at += bytes.size()) {
        auto run = map(inode, at / super_.block_size);
        if (run && run.value().block == 0) {
            continue;
        }
        auto done = run ? read_mapped(inode, at, bytes) : Status{std::move(run).error()};
        if (done) {
            parse_folder(bytes, listing);
        } else {
            listing.problem = done.error().message;
        }
    }
    return listing;
}

/// "Symbolic Links": short ones are in place of the map.
Result<std::string> Ext::target(const Node& link)
{
    if (!link.refusal.empty()) {
        return fail(Errc::unsupported, link.refusal);
    }
    auto loaded = load(link.id);
    if (!loaded) {
        return std::move(loaded).error();
    }
    const Inode& inode = loaded.value();
    if (inode.size > kMaxLink) {
        return fail(Errc::corrupt, "a link is too long");
    }
    std::string text(inode.size, '\0');
    const std::span<u8> into{reinterpret_cast<u8*>(text.data()), text.size()};
    if (inode.size < kMapSize && (inode.flags & (kExtents | kInlineData)) == 0) {
        std::copy_n(inode.map.begin(), text.size(), into.begin());
        return text;
    }
    if (auto done = read(link, 0, into); !done) {
        return std::move(done).error();
    }
    return text;
}

} // namespace

Result<std::unique_ptr<FileSystem>> open_ext(const Volume& volume)
{
    std::array<u8, ext::kSuperBlockSize> bytes{};
    if (volume.size() < ext::kSuperBlockAt + bytes.size()) {
        return fail(Errc::wrong_format, "this is not an ext file system");
    }
    if (auto done = volume.read(ext::kSuperBlockAt, bytes); !done) {
        return std::move(done).error();
    }
    if (!ext::is_super(bytes)) {
        return fail(Errc::wrong_format, "this is not an ext file system");
    }
    auto super = ext::parse_super(bytes);
    if (!super) {
        return std::move(super).error();
    }
    return std::unique_ptr<FileSystem>{std::make_unique<Ext>(volume, std::move(super).value())};
}

} // namespace img::fs
