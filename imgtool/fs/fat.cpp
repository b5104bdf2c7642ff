#include "imgtool/fs/fat.hpp"

#include "base/endian.hpp"
#include "imgtool/fs/calendar.hpp"
#include "imgtool/unicode.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

constexpr std::size_t kEntrySize = 32;              // section 6
constexpr u64 kMaxFolder = u64{65536} * kEntrySize; // bytes: a folder can have no more entries
constexpr std::size_t kPage = 4096;                 // bytes of the FAT that are kept

// Attributes, section 6.
constexpr u8 kVolumeId = 0x08;
constexpr u8 kDirectory = 0x10;
constexpr u8 kReadOnly = 0x01;
constexpr u8 kLongName = 0x0f;
constexpr u8 kLongNameMask = 0x3f;

// The root folder of FAT12 and FAT16, which is not made of clusters.
constexpr u64 kFixedRoot = ~u64{0};

// Code page 437 from 0x80 on: what names have that were made on the PCs of the time.
constexpr std::array<u16, 128> kCodePage437{
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0};

/// Section 3, "Boot Sector and BPB", as far as it says where things are.
struct Layout {
    int bits = 0;         // 12, 16 or 32
    u64 cluster_size = 0; // bytes
    u64 clusters = 0;     // they count from 2 to clusters + 1
    u64 fat_at = 0;       // bytes
    u64 fat_size = 0;     // bytes
    u64 root_at = 0;      // bytes; FAT12 and FAT16
    u64 root_size = 0;    // bytes
    u64 data_at = 0;      // bytes, of cluster 2
    u32 root_cluster = 0; // FAT32
    std::string label = {};
};

std::string trim(std::string text)
{
    text.resize(text.find_last_not_of(' ') + 1);
    return text;
}

std::string from_code_page(std::span<const u8> bytes)
{
    std::string text;
    for (const u8 byte : bytes) {
        append_utf8(text, byte < 0x80 ? byte : kCodePage437[byte - 0x80U]);
    }
    return trim(std::move(text));
}

std::optional<Layout> parse_boot_sector(std::span<const u8> b, u64 volume_size)
{
    const u64 sector = load_le<u16>(b, 11);
    const u64 per_cluster = b[13];
    const u64 reserved = load_le<u16>(b, 14);
    const u64 fats = b[16];
    const u64 root_entries = load_le<u16>(b, 17);
    const u64 total16 = load_le<u16>(b, 19);
    const u64 total = total16 != 0 ? total16 : load_le<u32>(b, 32);
    const u64 fat16 = load_le<u16>(b, 22);
    const u64 fat_sectors = fat16 != 0 ? fat16 : load_le<u32>(b, 36);
    // Some floppies have no jump and no signature; what is left is still hard to meet by chance.
    const bool media = b[21] == 0xf0 || b[21] >= 0xf8;
    if (!std::has_single_bit(sector) || sector < 512 || sector > 4096 ||
        !std::has_single_bit(per_cluster) || reserved == 0 || fats == 0 || fats > 4 ||
        fat_sectors == 0 || total == 0 || !media) {
        return std::nullopt;
    }
    const u64 root_sectors = (root_entries * kEntrySize + sector - 1) / sector;
    const u64 data = reserved + fats * fat_sectors + root_sectors;
    if (data >= total || data * sector >= volume_size) {
        return std::nullopt;
    }
    Layout l{.cluster_size = sector * per_cluster,
             .clusters = (total - data) / per_cluster,
             .fat_at = reserved * sector,
             .fat_size = fat_sectors * sector,
             .root_at = (reserved + fats * fat_sectors) * sector,
             .root_size = root_entries * kEntrySize,
             .data_at = data * sector};
    // Section 3.5, "Determination of FAT type when mounting the volume". Volumes of FAT32 that are
    // smaller than that allows are made all the same; they can be told by their FAT's length.
    l.bits = fat16 == 0 ? 32 : l.clusters < 4085 ? 12 : 16;
    if (l.bits != 32 && root_entries == 0) {
        return std::nullopt;
    }
    l.clusters = std::min(l.clusters, l.fat_size * 8 / static_cast<u64>(l.bits) - 2);
    l.root_cluster = l.bits == 32 ? load_le<u32>(b, 44) & 0x0fffffff : 0;
    const std::size_t extended = l.bits == 32 ? 66 : 38;
    if (b[extended] == 0x29) {
        l.label = from_code_page(b.subspan(extended + 5, 11));
    }
    return l;
}

/// Section 7, "Long Directory Entries": collects the parts, which come last one first.
class LongName {
public:
    void add(std::span<const u8> e)
    {
        const u8 order = e[0];
        if ((order & 0x40) != 0) {
            units_.clear();
            next_ = order & 0x1f;
            checksum_ = e[13];
        }
        if (next_ == 0 || (order & 0x1f) != next_ || checksum_ != e[13]) {
            next_ = -1;
            return;
        }
        --next_;
        constexpr std::array<std::size_t, 13> kAt{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
        std::vector<u16> part;
        for (const std::size_t at : kAt) {
            const u16 unit = load_le<u16>(e, at);
            if (unit == 0) {
                break;
            }
            part.push_back(unit);
        }
        units_.insert(units_.begin(), part.begin(), part.end());
    }

    /// Empty when there is none for this short entry. Forgets it.
    std::string take(std::span<const u8> e)
    {
        u8 sum = 0;
        for (const u8 byte : e.first(11)) {
            sum = static_cast<u8>(((sum & 1) << 7) + (sum >> 1) + byte);
        }
        const bool whole = next_ == 0 && sum == checksum_;
        next_ = -1;
        return whole ? to_utf8(units_) : "";
    }

private:
    std::vector<u16> units_;
    int next_ = -1; // the number of the part expected, counting down; 0: whole; -1: none
    u8 checksum_ = 0;
};

std::array<u8, 11> name_bytes(std::span<const u8> e)
{
    std::array<u8, 11> raw{};
    std::copy_n(e.begin(), raw.size(), raw.begin());
    if (raw[0] == 0x05) {
        raw[0] = 0xe5; // section 6.1
    }
    return raw;
}

std::string short_name(std::span<const u8> e)
{
    auto raw = name_bytes(e);
    // Windows NT keeps names in lower case as such in the byte that is reserved.
    const auto part = [&](std::size_t begin, std::size_t length, u8 lower_flag) {
        const auto bytes = std::span{raw}.subspan(begin, length);
        if ((e[12] & lower_flag) != 0) {
            for (u8& byte : bytes) {
                byte = byte >= 'A' && byte <= 'Z' ? static_cast<u8>(byte + 32) : byte;
            }
        }
        return from_code_page(bytes);
    };
    const std::string stem = part(0, 8, 0x08);
    const std::string extension = part(8, 3, 0x10);
    return extension.empty() ? stem : stem + "." + extension;
}

Node make_node(std::span<const u8> e)
{
    const u16 date = load_le<u16>(e, 24);
    const u16 time = load_le<u16>(e, 22);
    const bool folder = (e[11] & kDirectory) != 0;
    const u32 writable = (e[11] & kReadOnly) != 0 ? 0 : 0200;
    return {.id = u64{load_le<u16>(e, 20)} << 16 | load_le<u16>(e, 26),
            .kind = folder ? Kind::folder : Kind::file,
            .size = folder ? 0 : load_le<u32>(e, 28),
            .mode = folder ? 0755 : 0444 | writable,
            .modified = unix_time(1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11,
                                  time >> 5 & 63, (time & 31) * 2U)};
}

class Fat final : public FileSystem {
public:
    Fat(const Volume& volume, Layout layout) : volume_{volume}, layout_{std::move(layout)} {}

    std::string_view type() const override
    {
        return layout_.bits == 12 ? "fat12" : layout_.bits == 16 ? "fat16" : "fat32";
    }
    std::string label() const override { return layout_.label; }
    void find_label();
    bool ignores_case() const override { return true; }

    Result<Node> root() override { return root_node(); }
    Result<Listing> list(const Node& folder) override;
    Status read(const Node& file, u64 offset, std::span<u8> into) override;

private:
    Node root_node() const
    {
        return {.id = layout_.bits == 32 ? layout_.root_cluster : kFixedRoot,
                .kind = Kind::folder,
                .mode = 0755};
    }
    bool is_cluster(u64 n) const { return n >= 2 && n < layout_.clusters + 2; }
    u64 place_of(u64 cluster) const
    {
        return layout_.data_at + (cluster - 2) * layout_.cluster_size;
    }
    Result<u64> next_cluster(u64 cluster);
    Result<u8> fat_byte(u64 at);
    std::vector<u8> read_folder(const Node& folder, std::string& problem);

    Volume volume_;
    Layout layout_;
    std::array<u8, kPage> page_{}; // of the FAT
    u64 page_at_ = ~u64{0};        // bytes in the FAT

    // Where the last read of a file got to.
    struct {
        u64 first = 0, index = 0, cluster = 0;
    } last_;
};

Result<u8> Fat::fat_byte(u64 at)
{
    const u64 begin = at - at % kPage;
    if (begin != page_at_) {
        page_at_ = ~u64{0};
        const u64 n = std::min<u64>(kPage, layout_.fat_size - begin);
        if (auto done = volume_.read(layout_.fat_at + begin, std::span{page_}.first(n)); !done) {
            return std::move(done).error();
        }
        page_at_ = begin;
    }
    return page_[at - begin];
}

/// Section 4. Nothing but a cluster of the volume means that there are no more.
Result<u64> Fat::next_cluster(u64 cluster)
{
    const u64 at = cluster * static_cast<u64>(layout_.bits) / 8;
    const unsigned bytes = layout_.bits == 32 ? 4 : 2;
    u64 value = 0;
    for (unsigned i = 0; i < bytes; ++i) {
        auto byte = at + i < layout_.fat_size ? fat_byte(at + i) : Result<u8>{u8{0}};
        if (!byte) {
            return std::move(byte).error();
        }
        value |= u64{byte.value()} << (8 * i);
    }
    if (layout_.bits == 12) {
        return (cluster & 1) != 0 ? value >> 4 : value & 0xfff;
    }
    return layout_.bits == 32 ? value & 0x0fffffff : value;
}

/// What there is of a folder before a problem.
std::vector<u8> Fat::read_folder(const Node& folder, std::string& problem)
{
    std::vector<u8> bytes;
    const auto add = [&](u64 at, u64 length) {
        const std::size_t before = bytes.size();
        bytes.resize(before + length);
        auto done = volume_.read(at, std::span{bytes}.last(length));
        if (!done) {
            bytes.resize(before);
            problem = done.error().message;
        }
        return problem.empty();
    };
    if (folder.id == kFixedRoot) {
        add(layout_.root_at, layout_.root_size);
        return bytes;
    }
    // Cluster 0 is the root folder, as ".." has it; or a damaged entry.
    for (u64 cluster = folder.id; is_cluster(cluster);) {
        if (bytes.size() > kMaxFolder) {
            problem = "a folder has no end";
            break;
        }
        if (!add(place_of(cluster), layout_.cluster_size)) {
            break;
        }
        auto next = next_cluster(cluster);
        if (!next) {
            problem = next.error().message;
            break;
        }
        cluster = next.value();
    }
    return bytes;
}

/// Calls `take` with each entry of a folder that is in use.
void visit_entries(std::span<const u8> folder,
                   const std::function<void(std::span<const u8> entry)>& take)
{
    for (std::size_t at = 0; at + kEntrySize <= folder.size(); at += kEntrySize) {
        const auto e = folder.subspan(at, kEntrySize);
        if (e[0] == 0) {
            return; // section 6: no more
        }
        if (e[0] != 0xe5) {
            take(e);
        }
    }
}

bool is_long_name(std::span<const u8> e)
{
    return (e[11] & kLongNameMask) == kLongName;
}

Result<Listing> Fat::list(const Node& folder)
{
    Listing listing;
    LongName long_name;
    const auto bytes = read_folder(folder, listing.problem);
    visit_entries(bytes, [&](std::span<const u8> e) {
        if (is_long_name(e)) {
            long_name.add(e);
            return;
        }
        std::string name = long_name.take(e);
        if ((e[11] & kVolumeId) != 0 || e[0] == '.') {
            return;
        }
        Node node = make_node(e);
        if (layout_.bits != 32) {
            node.id &= 0xffff; // the other half is OS/2's
        }
        listing.entries.push_back(
            {.name = name.empty() ? short_name(e) : std::move(name), .node = node});
    });
    return listing;
}

/// Section 6, "ATTR_VOLUME_ID": the label is an entry of the root folder. The boot sector's copy
/// may be older; it counts where there is no entry.
void Fat::find_label()
{
    std::string problem;
    bool found = false;
    const auto root = read_folder(root_node(), problem);
    visit_entries(root, [&](std::span<const u8> e) {
        if (!found && !is_long_name(e) && (e[11] & (kVolumeId | kDirectory)) == kVolumeId) {
            found = true;
            layout_.label = from_code_page(name_bytes(e));
        }
    });
    if (!found && layout_.label == "NO NAME") {
        layout_.label.clear(); // section 3.3: what stands there for none
    }
}

Status Fat::read(const Node& file, u64 offset, std::span<u8> into)
{
    const u64 size = layout_.cluster_size;
    u64 index = offset / size;
    u64 cluster = file.id;
    u64 at = 0;
    if (last_.first == file.id && last_.index <= index && is_cluster(last_.cluster)) {
        cluster = last_.cluster;
        at = last_.index;
    }
    // A chain that is a loop ends here all the same: files are shorter than 4 GiB.
    while (!into.empty()) {
        if (!is_cluster(cluster)) {
            return fail(Errc::corrupt, "the file is shorter than its folder says");
        }
        if (at == index) {
            const u64 within = offset % size;
            const u64 n = std::min<u64>(into.size(), size - within);
            if (auto done = volume_.read(place_of(cluster) + within, into.first(n)); !done) {
                return done;
            }
            last_ = {.first = file.id, .index = at, .cluster = cluster};
            into = into.subspan(n);
            offset += n;
            index = offset / size;
            if (into.empty()) {
                break;
            }
        }
        if (at < index) {
            auto next = next_cluster(cluster);
            if (!next) {
                return std::move(next).error();
            }
            cluster = next.value();
            ++at;
        }
    }
    return base::ok();
}

} // namespace

Result<std::unique_ptr<FileSystem>> open_fat(const Volume& volume)
{
    const auto none = [] { return fail(Errc::wrong_format, "this is not a FAT file system"); };
    std::array<u8, 512> sector{};
    if (volume.size() < sector.size()) {
        return none();
    }
    if (auto done = volume.read(0, sector); !done) {
        return std::move(done).error();
    }
    auto layout = parse_boot_sector(sector, volume.size());
    if (!layout) {
        return none();
    }
    auto opened = std::make_unique<Fat>(volume, std::move(*layout));
    opened->find_label();
    return std::unique_ptr<FileSystem>{std::move(opened)};
}

} // namespace img::fs
