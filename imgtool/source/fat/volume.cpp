#include "imgtool/source/fat/volume.hpp"

#include "base/endian.hpp"
#include "imgtool/source/fat/names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

namespace img::fat {

namespace {

using base::Errc;
using base::fail;
using base::u16;
using base::u32;

constexpr u32 kSector = 512;       // bytes
constexpr u32 kEntrySize = 32;     // bytes of a directory entry
constexpr u32 kUnitsPerEntry = 13; // UTF-16 units of a long name in one entry
constexpr u32 kMaxFolder = 65536;  // entries (FAT specification, 6: at most 2 MiB)
constexpr u32 kDiskSignature = 0x4d656e67;
constexpr u32 kSerial = 0x4d454e41; // of the volume

constexpr u8 kAttributeLabel = 0x08;
constexpr u8 kAttributeFolder = 0x10;
constexpr u8 kAttributeArchive = 0x20;
constexpr u8 kAttributeLong = 0x0f;

struct Geometry {
    u32 cylinders, heads, sectors_per_track;
    u32 first_sector; // of the volume
    u32 sectors_per_cluster;
    int bits;

    u32 disk_sectors() const { return cylinders * heads * sectors_per_track; }
    u32 volume_sectors() const { return disk_sectors() - first_sector; }
};

/// Sizes as QEMU's vvfat has them: disks of 504 MiB (FAT12: 31.5 MiB), floppies of 2.88 MB, or
/// 1.44 MB when FAT12 is asked for. FAT32 has half the cluster size: by the specification (3.5) it
/// needs at least 65525 clusters.
Result<Geometry> choose_geometry(const Parameters& p)
{
    if (p.bits != 0 && p.bits != 12 && p.bits != 16 && p.bits != 32) {
        return fail(Errc::invalid_argument, "Valid FAT types are only 12, 16 and 32");
    }
    if (p.medium == Medium::disk) {
        const int bits = p.bits == 0 ? 16 : p.bits;
        return Geometry{bits == 12 ? 64U : 1024U, 16, 63, 63, bits == 32 ? 8U : 16U, bits};
    }
    if (p.bits == 32) {
        return fail(Errc::invalid_argument, "a floppy is too small for FAT32");
    }
    if (p.bits == 0) {
        return Geometry{80, 2, 36, 0, 2, 12};
    }
    return Geometry{80, 2, p.bits == 12 ? 18U : 36U, 0, 1, p.bits};
}

void put16(std::span<u8> to, std::size_t at, u32 value)
{
    base::store_le(to, at, static_cast<u16>(value));
}

void put32(std::span<u8> to, std::size_t at, u32 value)
{
    base::store_le(to, at, value);
}

/// Date and time of a directory entry (FAT specification, 6.3).
struct Stamp {
    u32 date, time;
};

Stamp stamp_of(std::time_t when)
{
    std::tm t = {};
    if (localtime_r(&when, &t) == nullptr || t.tm_year < 80 || t.tm_year > 207) {
        return {1 << 5 | 1, 0}; // 1980-01-01
    }
    return {static_cast<u32>((t.tm_year - 80) << 9 | (t.tm_mon + 1) << 5 | t.tm_mday),
            static_cast<u32>(t.tm_hour << 11 | t.tm_min << 5 | t.tm_sec / 2)};
}

class Builder {
public:
    Builder(const Geometry& geometry, const Parameters& parameters)
        : g_{geometry}, parameters_{parameters}
    {}

    Result<Volume> build(const Entry& root);

private:
    struct Folder {
        const Entry* entry;
        std::vector<Names> names; // of its members
        u32 entries = 0;
        u32 cluster = 0;
        u32 parent = 0; // cluster; 0: the root
    };

    base::Error too_much() const
    {
        return fail(Errc::unsupported,
                    fmt::format("Directory does not fit in FAT{} (capacity {:.2f} MB)", g_.bits,
                                g_.disk_sectors() / 2000.0));
    }
    Folder name_members(const Entry& entry, bool is_root) const;
    void size_tables(u32 root_entries);
    base::Status add_folder(const Entry& entry, u32 parent, std::vector<u32>& clusters);
    std::optional<u32> allocate(u64 bytes);
    std::shared_ptr<std::vector<u8>> write_folder(const Folder& folder,
                                                  const std::vector<u32>& clusters) const;
    void write_entry(std::span<u8> to, const ShortName& name, u8 attribute, u32 cluster, u32 size,
                     std::time_t modified) const;
    static void write_long(std::span<u8>& to, const Names& names);
    std::shared_ptr<std::vector<u8>> boot_sectors() const;
    std::shared_ptr<std::vector<u8>> table() const;
    std::shared_ptr<std::vector<u8>> partitions() const;
    ShortName label() const;

    u64 cluster_at(u32 cluster) const
    {
        return (u64{data_sector_} + u64{cluster - 2} * g_.sectors_per_cluster) * kSector;
    }
    u32 cluster_size() const { return g_.sectors_per_cluster * kSector; }
    void add(u64 at, std::shared_ptr<const std::vector<u8>> bytes)
    {
        if (!bytes->empty()) {
            const u64 length = bytes->size();
            volume_.pieces.push_back({at, length, std::move(bytes), nullptr});
        }
    }

    Geometry g_;
    const Parameters& parameters_;
    u32 reserved_ = 0;     // sectors before the first table
    u32 root_entries_ = 0; // FAT12 and 16
    u32 table_sectors_ = 0;
    u32 clusters_ = 0;
    u32 data_sector_ = 0; // of the disk
    u32 next_cluster_ = 2;
    std::vector<u32> chain_{0, 0}; // the allocation table, as far as it is used
    Volume volume_ = {};
};

Builder::Folder Builder::name_members(const Entry& entry, bool is_root) const
{
    Folder folder{.entry = &entry, .names = {}};
    NameGiver giver;
    folder.entries = is_root ? 1 : 2; // the label, or "." and ".."
    for (const Entry& member : entry.members) {
        folder.names.push_back(giver.give(member.name));
        const auto units = static_cast<u32>(folder.names.back().long_name.size());
        folder.entries += 1 + (units + kUnitsPerEntry - 1) / kUnitsPerEntry;
    }
    return folder;
}

/// How long the tables are depends on the number of clusters, and the other way around.
void Builder::size_tables(u32 root_entries)
{
    reserved_ = g_.bits == 32 ? 32 : 1;
    const u32 per_sector = kSector / kEntrySize;
    root_entries_ = g_.bits == 32
                        ? 0
                        : std::max(512U, (root_entries + per_sector - 1) / per_sector * per_sector);
    const u32 root_sectors = root_entries_ / per_sector;
    const u32 fixed = reserved_ + root_sectors;
    clusters_ = (g_.volume_sectors() - fixed) / g_.sectors_per_cluster;
    for (int i = 0; i < 3; ++i) { // the second round is exact or one too careful
        table_sectors_ = static_cast<u32>(
            (u64{clusters_ + 2} * static_cast<u32>(g_.bits) + kSector * 8 - 1) / (kSector * 8));
        clusters_ = (g_.volume_sectors() - fixed - 2 * table_sectors_) / g_.sectors_per_cluster;
    }
    data_sector_ = g_.first_sector + fixed + 2 * table_sectors_;
}

/// A chain of clusters one after the other; nothing when the volume is full. 0 for no bytes.
std::optional<u32> Builder::allocate(u64 bytes)
{
    if (bytes == 0) {
        return 0;
    }
    const u64 count = (bytes + cluster_size() - 1) / cluster_size();
    if (count > clusters_ + 2 - next_cluster_) {
        return std::nullopt;
    }
    const u32 first = next_cluster_;
    next_cluster_ += static_cast<u32>(count);
    for (u32 cluster = first; cluster + 1 < next_cluster_; ++cluster) {
        chain_.push_back(cluster + 1);
    }
    chain_.push_back(0x0fffffff); // the end; cut to the table's width
    return first;
}

/// Places a folder's own clusters, then its members. `clusters` gets the members' first ones.
base::Status Builder::add_folder(const Entry& entry, u32 parent, std::vector<u32>& clusters)
{
    const bool is_root = parent == 0 && entry.name.empty();
    Folder folder = name_members(entry, is_root);
    folder.parent = parent;
    const bool fixed_root = is_root && g_.bits != 32;
    if (folder.entries > kMaxFolder || (is_root && folder.entries > 0xfff0)) {
        return too_much();
    }
    if (!fixed_root) {
        const auto cluster = allocate(u64{folder.entries} * kEntrySize);
        if (!cluster) {
            return too_much();
        }
        folder.cluster = *cluster;
    }
    clusters.push_back(folder.cluster);
    std::vector<u32> members;
    for (const Entry& member : entry.members) {
        if (member.is_folder) {
            std::vector<u32> own;
            if (auto added = add_folder(member, is_root ? 0xffffffff : folder.cluster, own);
                !added) {
                return added;
            }
            members.push_back(own.front());
            continue;
        }
        const auto cluster = allocate(member.size);
        if (!cluster) {
            return too_much();
        }
        members.push_back(*cluster);
        if (member.size != 0) {
            volume_.pieces.push_back({cluster_at(*cluster), member.size, nullptr, &member});
        }
    }
    const u64 at = fixed_root ? (u64{data_sector_} * kSector - u64{root_entries_} * kEntrySize)
                              : cluster_at(folder.cluster);
    add(at, write_folder(folder, members));
    return base::ok();
}

void Builder::write_entry(std::span<u8> to, const ShortName& name, u8 attribute, u32 cluster,
                          u32 size, std::time_t modified) const
{
    const Stamp stamp = stamp_of(modified);
    std::ranges::copy(name, to.begin());
    to[11] = attribute;
    put16(to, 14, stamp.time);
    put16(to, 16, stamp.date);
    put16(to, 18, stamp.date);
    put16(to, 20, cluster >> 16);
    put16(to, 22, stamp.time);
    put16(to, 24, stamp.date);
    put16(to, 26, cluster & 0xffff);
    put32(to, 28, size);
}

/// The entries of a long name, the last part first (FAT specification, section 7).
void Builder::write_long(std::span<u8>& to, const Names& names)
{
    static constexpr u8 kUnitAt[kUnitsPerEntry] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    const std::size_t units = names.long_name.size();
    const std::size_t count = (units + kUnitsPerEntry - 1) / kUnitsPerEntry;
    for (std::size_t part = count; part-- > 0;) {
        to[0] = static_cast<u8>((part + 1) | (part + 1 == count ? 0x40 : 0));
        to[11] = kAttributeLong;
        to[13] = checksum(names.short_name);
        for (std::size_t i = 0; i < kUnitsPerEntry; ++i) {
            const std::size_t unit = part * kUnitsPerEntry + i;
            put16(to, kUnitAt[i],
                  unit < units    ? names.long_name[unit]
                  : unit == units ? 0U
                                  : 0xffffU);
        }
        to = to.subspan(kEntrySize);
    }
}

std::shared_ptr<std::vector<u8>> Builder::write_folder(const Folder& folder,
                                                       const std::vector<u32>& clusters) const
{
    const std::time_t modified = folder.entry->modified;
    auto bytes = std::make_shared<std::vector<u8>>(std::size_t{folder.entries} * kEntrySize);
    std::span<u8> to{*bytes};
    if (folder.parent == 0) {
        write_entry(to, label(), kAttributeLabel, 0, 0, modified);
        to = to.subspan(kEntrySize);
    } else {
        const ShortName here{'.', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
        ShortName above = here;
        above[1] = '.';
        const u32 parent = folder.parent == 0xffffffff ? 0 : folder.parent; // 0 means the root
        write_entry(to, here, kAttributeFolder, folder.cluster, 0, modified);
        write_entry(to.subspan(kEntrySize), above, kAttributeFolder, parent, 0, modified);
        to = to.subspan(2 * kEntrySize);
    }
    for (std::size_t i = 0; i < clusters.size(); ++i) {
        const Entry& member = folder.entry->members[i];
        write_long(to, folder.names[i]);
        write_entry(to, folder.names[i].short_name,
                    member.is_folder ? kAttributeFolder : kAttributeArchive, clusters[i],
                    static_cast<u32>(member.size), member.modified);
        to = to.subspan(kEntrySize);
    }
    return bytes;
}

ShortName Builder::label() const
{
    ShortName name;
    name.fill(' ');
    std::ranges::copy(parameters_.label.substr(0, name.size()), name.begin());
    return name;
}

/// The boot sector with the BIOS parameter block (FAT specification, section 3), and for FAT32 the
/// FSInfo sector and the copies of both.
std::shared_ptr<std::vector<u8>> Builder::boot_sectors() const
{
    const bool wide = g_.bits == 32;
    const bool floppy = g_.first_sector == 0;
    auto bytes = std::make_shared<std::vector<u8>>(std::size_t{wide ? 8U : 1U} * kSector);
    const std::span<u8> b{*bytes};
    const auto text = [&b](std::size_t at, std::string_view t) {
        std::ranges::copy(t, b.begin() + static_cast<std::ptrdiff_t>(at));
    };
    b[0] = 0xeb;
    b[1] = wide ? 0x58 : 0x3c;
    b[2] = 0x90;
    text(3, "MSWIN4.1"); // which the specification recommends
    put16(b, 11, kSector);
    b[13] = static_cast<u8>(g_.sectors_per_cluster);
    put16(b, 14, reserved_);
    b[16] = 2; // tables
    put16(b, 17, root_entries_);
    const u32 sectors = g_.volume_sectors();
    put16(b, 19, !wide && sectors < 0x10000 ? sectors : 0);
    b[21] = floppy ? 0xf0 : 0xf8;
    put16(b, 22, wide ? 0 : table_sectors_);
    put16(b, 24, g_.sectors_per_track);
    put16(b, 26, g_.heads);
    put32(b, 28, g_.first_sector);
    put32(b, 32, wide || sectors >= 0x10000 ? sectors : 0);
    std::size_t at = 36;
    if (wide) {
        put32(b, 36, table_sectors_);
        put32(b, 44, 2); // the root's first cluster
        put16(b, 48, 1); // FSInfo
        put16(b, 50, 6); // the copy
        at = 64;
    }
    b[at] = floppy ? 0x00 : 0x80;
    b[at + 2] = 0x29;
    put32(b, at + 3, kSerial);
    const ShortName name = label();
    text(at + 7, {name.data(), name.size()});
    text(at + 18, wide ? "FAT32   " : g_.bits == 16 ? "FAT16   " : "FAT12   ");
    put16(b, 510, 0xaa55);
    if (wide) {
        put32(b, kSector, 0x41615252);
        put32(b, kSector + 484, 0x61417272);
        put32(b, kSector + 488, clusters_ + 2 - next_cluster_);
        put32(b, kSector + 492, next_cluster_);
        put32(b, kSector + 508, 0xaa550000);
        std::copy_n(b.begin(), 2 * kSector, b.begin() + 6 * kSector);
    }
    return bytes;
}

/// The allocation table as far as it is used (FAT specification, section 4).
std::shared_ptr<std::vector<u8>> Builder::table() const
{
    std::vector<u32> chain = chain_;
    chain[0] = 0x0fffff00 | (g_.first_sector == 0 ? 0xf0 : 0xf8);
    chain[1] = 0x0fffffff;
    auto bytes =
        std::make_shared<std::vector<u8>>((chain.size() * static_cast<u32>(g_.bits) + 7) / 8 + 1);
    const std::span<u8> b{*bytes};
    for (std::size_t i = 0; i < chain.size(); ++i) {
        if (g_.bits == 32) {
            put32(b, i * 4, chain[i]);
        } else if (g_.bits == 16) {
            put16(b, i * 2, chain[i] & 0xffff);
        } else {
            const std::size_t at = i * 3 / 2;
            const u32 value = (chain[i] & 0xfff) << (i % 2 == 0 ? 0 : 4);
            b[at] = static_cast<u8>(b[at] | value);
            b[at + 1] = static_cast<u8>(b[at + 1] | value >> 8);
        }
    }
    return bytes;
}

/// The master boot record with the one partition.
std::shared_ptr<std::vector<u8>> Builder::partitions() const
{
    auto bytes = std::make_shared<std::vector<u8>>(kSector);
    const std::span<u8> b{*bytes};
    const auto put_chs = [&](std::size_t at, u32 sector) {
        const u32 track = sector / g_.sectors_per_track;
        const u32 cylinder = track / g_.heads;
        b[at] = static_cast<u8>(track % g_.heads);
        b[at + 1] = static_cast<u8>((sector % g_.sectors_per_track + 1) | (cylinder >> 8 & 3) << 6);
        b[at + 2] = static_cast<u8>(cylinder);
    };
    put32(b, 440, kDiskSignature);
    b[446] = 0x80; // active
    put_chs(447, g_.first_sector);
    b[450] = g_.bits == 12 ? 0x01 : g_.bits == 16 ? 0x06 : 0x0b;
    put_chs(451, g_.disk_sectors() - 1);
    put32(b, 454, g_.first_sector);
    put32(b, 458, g_.volume_sectors());
    put16(b, 510, 0xaa55);
    return bytes;
}

Result<Volume> Builder::build(const Entry& root)
{
    const u32 root_entries = name_members(root, true).entries;
    if (root_entries > 0xfff0 || root_entries * kEntrySize / kSector > g_.volume_sectors() / 2) {
        return too_much();
    }
    size_tables(root_entries);
    std::vector<u32> ignored;
    if (auto added = add_folder(root, 0, ignored); !added) {
        return std::move(added).error();
    }
    if (g_.first_sector != 0) {
        add(0, partitions());
    }
    const u64 start = u64{g_.first_sector} * kSector;
    add(start, boot_sectors());
    const auto fat = table();
    add(start + u64{reserved_} * kSector, fat);
    add(start + (u64{reserved_} + table_sectors_) * kSector, fat);
    std::ranges::sort(volume_.pieces, {}, &Piece::at);
    volume_.size = u64{g_.disk_sectors()} * kSector;
    return std::move(volume_);
}

} // namespace

Result<Volume> lay_out(const Entry& root, const Parameters& parameters)
{
    auto geometry = choose_geometry(parameters);
    if (!geometry) {
        return std::move(geometry).error();
    }
    return Builder{geometry.value(), parameters}.build(root);
}

} // namespace img::fat
