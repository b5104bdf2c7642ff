#include "imgtool/fs/partitions.hpp"

#include "base/endian.hpp"
#include "imgtool/unicode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <libdeflate.h>
#include <set>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

constexpr u64 kMbrSector = 512;              // bytes
constexpr std::size_t kMaxLinks = 1024;      // of chains of logical partitions
constexpr u64 kMaxGptEntries = u64{4} << 20; // bytes of all entries, as Linux has it

// Types of the MBR: extended partitions, and the one that protects a GPT.
constexpr std::array<u8, 3> kExtended{0x05, 0x0f, 0x85};
constexpr u8 kProtective = 0xee;

struct MbrEntry {
    u8 status, type;
    u64 start, size; // sectors
};

std::array<MbrEntry, 4> parse_mbr(std::span<const u8> sector)
{
    std::array<MbrEntry, 4> entries{};
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const auto e = sector.subspan(446 + i * 16, 16);
        entries[i] = {
            .status = e[0], .type = e[4], .start = load_le<u32>(e, 8), .size = load_le<u32>(e, 12)};
    }
    return entries;
}

bool is_extended(const MbrEntry& entry)
{
    return std::ranges::find(kExtended, entry.type) != kExtended.end();
}

Partition make_partition(unsigned number, const MbrEntry& entry, u64 start)
{
    return {.number = number,
            .start = start * kMbrSector,
            .size = entry.size * kMbrSector,
            .type = fmt::format("0x{:02x}", entry.type),
            .bootable = entry.status == 0x80};
}

/// Walks the chains of logical partitions, and numbers what it finds as Linux does: by what there
/// is, not by links. A link has partitions, placed from the link, and the next link, placed from
/// the extended partition, in any of its four entries.
class LogicalChain {
public:
    LogicalChain(Disk& disk, PartitionTable& table) : disk_{disk}, table_{table} {}

    Status walk(const MbrEntry& extended)
    {
        MbrEntry link = extended;
        link.start = 0; // from the extended partition
        for (bool first = true;; first = false) {
            const u64 at = extended.start + link.start;
            if (!seen_.insert(at).second) {
                // Two extended partitions with one chain are no problem.
                return first ? base::ok() : stop("the chain of logical partitions has no end");
            }
            if (seen_.size() > kMaxLinks) {
                return stop("there are too many logical partitions");
            }
            if (at > disk_.size() / kMbrSector || disk_.size() - at * kMbrSector < kMbrSector) {
                return stop("the logical partitions go on past the end of the disk");
            }
            std::array<u8, kMbrSector> sector{};
            if (auto done = disk_.read(at * kMbrSector, sector); !done) {
                return done;
            }
            if (load_le<u16>(sector, 510) != 0xaa55) {
                return stop("the chain of logical partitions is broken");
            }
            const auto entries = parse_mbr(sector);
            add_partitions(entries, at, link.size, extended);
            const auto next = std::ranges::find_if(
                entries, [](const MbrEntry& e) { return is_extended(e) && e.size != 0; });
            if (next == entries.end()) {
                return base::ok();
            }
            link = *next;
        }
    }

private:
    /// The third and fourth entry are often not used, and then not cleared either: they count when
    /// they lie inside of the link, as in Linux.
    void add_partitions(const std::array<MbrEntry, 4>& entries, u64 link_at, u64 link_size,
                        const MbrEntry& extended)
    {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const MbrEntry& e = entries[i];
            const u64 start = link_at + e.start;
            const bool inside =
                e.start + e.size <= link_size && start + e.size <= extended.start + extended.size;
            if (e.size != 0 && !is_extended(e) && (i < 2 || inside)) {
                table_.partitions.push_back(make_partition(next_number_++, e, start));
            }
        }
    }

    Status stop(std::string_view problem)
    {
        table_.problems.emplace_back(problem);
        return base::ok();
    }

    Disk& disk_;
    PartitionTable& table_;
    std::set<u64> seen_; // links, by sector
    unsigned next_number_ = 5;
};

std::string guid_text(std::span<const u8> b)
{
    return fmt::format("{:08x}-{:04x}-{:04x}-{:02x}{:02x}-{:02x}{:02x}{:02x}{:02x}{:02x}{:02x}",
                       load_le<u32>(b, 0), load_le<u16>(b, 4), load_le<u16>(b, 6), b[8], b[9],
                       b[10], b[11], b[12], b[13], b[14], b[15]);
}

u32 crc32(std::span<const u8> bytes)
{
    return libdeflate_crc32(0, bytes.data(), bytes.size());
}

/// One of the two copies; why it is of no use otherwise. UEFI 5.3.2 and 5.3.3.
Result<PartitionTable> parse_gpt(Disk& disk, u64 sector_size, u64 at)
{
    std::vector<u8> header(sector_size);
    if (at > disk.size() || disk.size() - at < header.size()) {
        return fail(Errc::corrupt, "it is past the end of the disk");
    }
    if (auto done = disk.read(at, header); !done) {
        return std::move(done).error();
    }
    const std::string_view magic{reinterpret_cast<const char*>(header.data()), 8};
    const u32 header_size = load_le<u32>(header, 12);
    if (magic != "EFI PART" || header_size < 92 || header_size > header.size()) {
        return fail(Errc::wrong_format, "it is not there");
    }
    const u32 sum = load_le<u32>(header, 16);
    base::store_le<u32>(header, 16, 0);
    if (crc32(std::span{header}.first(header_size)) != sum) {
        return fail(Errc::corrupt, "its checksum is wrong");
    }
    const u64 entries_at = load_le<u64>(header, 72);
    const u32 count = load_le<u32>(header, 80);
    const u32 entry_size = load_le<u32>(header, 84);
    if (entry_size < 128 || entries_at > disk.size() / sector_size) {
        return fail(Errc::corrupt, "its numbers are impossible");
    }
    if (u64{count} * entry_size > kMaxGptEntries) {
        return fail(Errc::unsupported,
                    fmt::format("not supported: a GPT with {} bytes of entries (more than {})",
                                u64{count} * entry_size, kMaxGptEntries));
    }
    std::vector<u8> entries(u64{count} * entry_size);
    if (disk.size() - entries_at * sector_size < entries.size()) {
        return fail(Errc::corrupt, "its entries are past the end of the disk");
    }
    if (auto done = disk.read(entries_at * sector_size, entries); !done) {
        return std::move(done).error();
    }
    if (crc32(entries) != load_le<u32>(header, 88)) {
        return fail(Errc::corrupt, "the checksum of its entries is wrong");
    }
    PartitionTable table{.kind = "gpt"};
    for (u32 i = 0; i < count; ++i) {
        const auto e = std::span<const u8>{entries}.subspan(u64{i} * entry_size, entry_size);
        const u64 first = load_le<u64>(e, 32);
        const u64 last = load_le<u64>(e, 40);
        const u64 sectors = disk.size() / sector_size;
        if (std::ranges::all_of(e.first(16), [](u8 byte) { return byte == 0; })) {
            continue;
        }
        if (last < first || last >= sectors) {
            table.problems.push_back(fmt::format("partition {} is not on the disk", i + 1));
            continue;
        }
        std::vector<u16> name;
        for (std::size_t at_name = 56; at_name < 128; at_name += 2) {
            const u16 unit = load_le<u16>(e, at_name);
            if (unit == 0) {
                break;
            }
            name.push_back(unit);
        }
        table.partitions.push_back({.number = i + 1,
                                    .start = first * sector_size,
                                    .size = (last - first + 1) * sector_size,
                                    .type = guid_text(e),
                                    .name = to_utf8(name)});
    }
    return table;
}

/// Sectors of 512 bytes, or of 4096; the first copy or, when that is damaged, the one at the end.
Result<PartitionTable> read_gpt(Disk& disk)
{
    std::string problem;
    for (const u64 sector : {u64{512}, u64{4096}}) {
        auto first = parse_gpt(disk, sector, sector);
        if (first || first.error().code == Errc::io || first.error().code == Errc::unsupported) {
            return first;
        }
        if (first.error().code == Errc::wrong_format && disk.size() < 2 * sector) {
            continue;
        }
        auto second = parse_gpt(disk, sector, disk.size() / sector * sector - sector);
        if (second) {
            second.value().problems.push_back("the GPT at the beginning of the disk is damaged (" +
                                              first.error().message + "); the copy was read");
            return second;
        }
        if (first.error().code == Errc::corrupt && problem.empty()) {
            problem = first.error().message;
        }
    }
    return fail(Errc::corrupt,
                "both copies of the GPT are damaged: " + (problem.empty() ? "gone" : problem));
}

} // namespace

Result<PartitionTable> read_partitions(Disk& disk)
{
    PartitionTable table;
    std::array<u8, kMbrSector> sector{};
    if (disk.size() < sector.size()) {
        return table;
    }
    if (auto done = disk.read(0, sector); !done) {
        return std::move(done).error();
    }
    if (load_le<u16>(sector, 510) != 0xaa55) {
        return table;
    }
    const auto entries = parse_mbr(sector);
    // What is code or text there does not look like this.
    const bool plausible =
        std::ranges::all_of(entries, [](const MbrEntry& e) { return (e.status & 0x7f) == 0; }) &&
        std::ranges::any_of(entries, [](const MbrEntry& e) { return e.type != 0 && e.size != 0; });
    if (!plausible) {
        return table;
    }
    if (std::ranges::find(entries, kProtective, &MbrEntry::type) != entries.end()) {
        return read_gpt(disk);
    }
    table.kind = "mbr";
    for (unsigned i = 0; i < entries.size(); ++i) {
        if (entries[i].size != 0 && !is_extended(entries[i])) {
            table.partitions.push_back(make_partition(i + 1, entries[i], entries[i].start));
        }
    }
    LogicalChain chain{disk, table};
    for (const MbrEntry& entry : entries) {
        if (is_extended(entry) && entry.size != 0) {
            if (auto done = chain.walk(entry); !done) {
                return std::move(done).error();
            }
        }
    }
    return table;
}

} // namespace img::fs
