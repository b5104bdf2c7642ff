#include "imgtool/formats/vhdx/log.hpp"

#include "base/endian.hpp"
#include "imgtool/filter/crc32c.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

namespace img::vhdx {

namespace {

using base::Errc;
using base::fail;
using base::load_le;
using base::store_le;

// MS-VHDX 2.3.1.1, "Entry Header".
constexpr std::size_t kEntryHead = 64;
constexpr std::size_t kEntryChecksum = 4;
constexpr std::size_t kEntryLength = 8;
constexpr std::size_t kEntryTail = 12;
constexpr std::size_t kEntrySequence = 16;
constexpr std::size_t kEntryDescriptors = 24;
constexpr std::size_t kEntryGuid = 32;
constexpr std::size_t kEntryFlushed = 48;
constexpr std::size_t kEntryLast = 56;
// MS-VHDX 2.3.1.2 and 2.3.1.3, "Zero Descriptor" and "Data Descriptor".
constexpr std::size_t kDescriptorSize = 32;
constexpr std::size_t kTrailing = 4;   // of a data descriptor: the sector's last 4 bytes
constexpr std::size_t kLeading = 8;    // and its first 8
constexpr std::size_t kZeroLength = 8; // of a zero descriptor
constexpr std::size_t kTarget = 16;
constexpr std::size_t kDescriptorSequence = 24;
// MS-VHDX 2.3.1.4, "Data Sector": what the descriptor does not have.
constexpr std::size_t kSequenceHigh = 4;
constexpr std::size_t kDataAt = 8;
constexpr std::size_t kDataEnd = kLogSector - 4;

bool is(std::span<const u8> bytes, std::string_view signature)
{
    return std::ranges::equal(bytes.first(signature.size()), signature,
                              [](u8 byte, char c) { return byte == static_cast<u8>(c); });
}

void sign(std::span<u8> bytes, std::string_view signature)
{
    std::ranges::copy(signature, bytes.begin());
}

/// Sectors that head and descriptors take.
u64 descriptor_sectors(u64 descriptors)
{
    return (kEntryHead + descriptors * kDescriptorSize + kLogSector - 1) / kLogSector;
}

/// The log's sectors as a ring.
class Ring {
public:
    Ring(ByteSource& file, const Header& header)
        : file_{file}, at_{header.log_offset}, sectors_{header.log_length / kLogSector}
    {}

    u64 sectors() const { return sectors_; }

    Status read(u64 sector, std::span<u8> into)
    {
        return read_padded(file_, FileOffset{at_ + sector % sectors_ * kLogSector}, into);
    }

    /// Sectors from `sector` on, to the ring's end, that are a hole in the file.
    u64 hole(u64 sector)
    {
        const u64 at = at_ + sector * kLogSector;
        if (at >= file_.size()) {
            return sectors_ - sector;
        }
        auto run = file_.run_at(FileOffset{at});
        return run && !run.value().data
                   ? std::min(run.value().length / kLogSector, sectors_ - sector)
                   : 0;
    }

private:
    ByteSource& file_;
    u64 at_; // bytes
    u64 sectors_;
};

/// Whether each sector of an entry is what it should be. Stops at the first that is not: since the
/// sectors of an entry never look like the first one of another, looking at all places of a log
/// reads each sector a few times at most.
bool well_formed(Ring& ring, const LogEntry& entry, u32 descriptors)
{
    std::array<u8, kLogSector> bytes{};
    u64 data = 0;
    const u64 heads = descriptor_sectors(descriptors);
    for (u64 s = 0; s < heads; ++s) {
        if (!ring.read(entry.sector + s, bytes)) {
            return false;
        }
        for (std::size_t at = s == 0 ? kEntryHead : 0; at < kLogSector && descriptors != 0;
             at += kDescriptorSize, --descriptors) {
            const std::span<const u8> d = std::span{bytes}.subspan(at, kDescriptorSize);
            const bool is_data = is(d, "desc");
            if ((!is_data && !is(d, "zero")) ||
                load_le<u64>(d, kDescriptorSequence) != entry.sequence) {
                return false;
            }
            data += is_data ? 1 : 0;
        }
    }
    if (heads + data != entry.sectors) {
        return false;
    }
    for (u64 s = heads; s < entry.sectors; ++s) {
        std::array<u8, 8> start{};
        std::array<u8, 4> end{};
        if (!ring.read(entry.sector + s, bytes)) {
            return false;
        }
        std::copy_n(bytes.begin(), start.size(), start.begin());
        std::copy_n(bytes.end() - 4, end.size(), end.begin());
        if (!is(start, "data") || load_le<u32>(start, kSequenceHigh) != entry.sequence >> 32 ||
            load_le<u32>(end, 0) != static_cast<u32>(entry.sequence)) {
            return false;
        }
    }
    return true;
}

bool checksum_fits(Ring& ring, const LogEntry& entry)
{
    std::array<u8, kLogSector> bytes{};
    u32 crc = 0;
    u32 wanted = 0;
    for (u64 s = 0; s < entry.sectors; ++s) {
        if (!ring.read(entry.sector + s, bytes)) {
            return false;
        }
        if (s == 0) {
            wanted = load_le<u32>(bytes, kEntryChecksum);
            store_le<u32>(bytes, kEntryChecksum, 0);
        }
        crc = crc32c(bytes, crc);
    }
    return crc == wanted;
}

/// The entry that begins at a sector, if a whole one does.
std::optional<LogEntry> entry_at(Ring& ring, u64 sector, const Guid& id)
{
    std::array<u8, kEntryHead> head{};
    if (!ring.read(sector, head) || !is(head, "loge")) {
        return std::nullopt;
    }
    const u32 length = load_le<u32>(head, kEntryLength);
    const u32 tail = load_le<u32>(head, kEntryTail);
    const u32 descriptors = load_le<u32>(head, kEntryDescriptors);
    const LogEntry entry{.sector = sector,
                         .sectors = length / kLogSector,
                         .tail = tail / kLogSector,
                         .sequence = load_le<u64>(head, kEntrySequence)};
    if (length % kLogSector != 0 || tail % kLogSector != 0 || entry.sectors == 0 ||
        entry.sectors > ring.sectors() || entry.tail >= ring.sectors() || entry.sequence == 0 ||
        !std::ranges::equal(std::span{head}.subspan(kEntryGuid, id.size()), id) ||
        descriptor_sectors(descriptors) > entry.sectors) {
        return std::nullopt;
    }
    if (!well_formed(ring, entry, descriptors) || !checksum_fits(ring, entry)) {
        return std::nullopt;
    }
    return entry;
}

std::vector<LogEntry> find_entries(Ring& ring, const Guid& id)
{
    std::vector<LogEntry> entries;
    for (u64 sector = 0; sector < ring.sectors();) {
        if (sector % 64 == 0) {
            if (const u64 hole = ring.hole(sector); hole != 0) {
                sector += hole;
                continue;
            }
        }
        if (const auto entry = entry_at(ring, sector, id)) {
            entries.push_back(*entry);
            sector += entry->sectors;
        } else {
            ++sector;
        }
    }
    return entries;
}

Status replay_data(ByteSource& file, std::span<const u8> descriptor, std::span<u8> sector)
{
    std::copy_n(descriptor.begin() + kLeading, kDataAt, sector.begin());
    std::copy_n(descriptor.begin() + kTrailing, 4, sector.begin() + kDataEnd);
    return file.write(FileOffset{load_le<u64>(descriptor, kTarget)}, sector);
}

/// Where a descriptor writes must lie in the file, and not where log and headers are.
Status check_target(u64 at, u64 length, u64 file_end, const Header& header)
{
    const Region log{header.log_offset, header.log_length};
    if (at % kLogSector != 0 || length % kLogSector != 0 || at < kMiB || at > file_end ||
        length > file_end - at || log.overlaps(at, length)) {
        return fail(Errc::corrupt,
                    fmt::format("VHDX log entry writes {} bytes at {:#x}", length, at));
    }
    return base::ok();
}

/// `is_head`: it is the newest entry, which knows how long the file must be (MS-VHDX 2.3.3).
Status replay_entry(ByteSource& file, Ring& ring, const Header& header, const LogEntry& entry,
                    bool is_head)
{
    std::array<u8, kLogSector> heads{};
    std::array<u8, kLogSector> data{};
    if (auto done = ring.read(entry.sector, heads); !done) {
        return done;
    }
    const u32 descriptors = load_le<u32>(heads, kEntryDescriptors);
    const u64 flushed = load_le<u64>(heads, kEntryFlushed);
    const u64 last = load_le<u64>(heads, kEntryLast);
    if ((is_head && flushed > file.size()) || last > kMaxFileSize) {
        return fail(Errc::corrupt,
                    "VHDX log entry for a longer file. The image has been truncated.");
    }
    if (last > file.size()) {
        if (auto grown = file.resize(last); !grown) {
            return grown;
        }
    }
    u64 data_sector = entry.sector + descriptor_sectors(descriptors);
    std::size_t at = kEntryHead;
    u64 head_sector = entry.sector;
    u64 zeroes = 0;
    for (u32 i = 0; i < descriptors; ++i, at += kDescriptorSize) {
        if (at == kLogSector) {
            at = 0;
            if (auto done = ring.read(++head_sector, heads); !done) {
                return done;
            }
        }
        const auto d = std::span<const u8>{heads}.subspan(at, kDescriptorSize);
        const bool is_data = is(d, "desc");
        const u64 target = load_le<u64>(d, kTarget);
        const u64 length = is_data ? kLogSector : load_le<u64>(d, kZeroLength);
        if (auto good = check_target(target, length, file.size(), header); !good) {
            return good;
        }
        auto done = base::ok();
        if (is_data) {
            done = ring.read(data_sector++, data);
            done = done ? replay_data(file, d, data) : std::move(done);
        } else if (length != 0) {
            zeroes += length;
            if (zeroes > file.size()) { // nothing needs to be zeroed twice
                return fail(Errc::corrupt, "VHDX log entry zeroes more than the file has");
            }
            done = file.zero(FileOffset{target}, length);
        }
        if (!done) {
            return done;
        }
    }
    return base::ok();
}

} // namespace

Result<std::vector<LogEntry>> find_active(ByteSource& file, const Header& header)
{
    std::vector<LogEntry> active;
    if (header.log_guid == kNoGuid || header.log_length == 0) {
        return active;
    }
    Ring ring{file, header};
    std::vector<LogEntry> entries = find_entries(ring, header.log_guid);
    // Runs of entries side by side with rising numbers; each entry's place in the list of its run
    // is its number.
    std::ranges::sort(entries, {}, &LogEntry::sequence);
    std::map<u64, std::size_t> by_sector;           // where it begins
    std::map<u64, std::size_t> by_end;              // where the next one would begin
    std::vector<std::size_t> first(entries.size()); // of the run
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const auto before = by_end.find(entries[i].sector);
        const bool follows =
            before != by_end.end() && entries[before->second].sequence + 1 == entries[i].sequence;
        first[i] = follows ? first[before->second] : i;
        by_sector[entries[i].sector] = i;
        by_end[(entries[i].sector + entries[i].sectors) % ring.sectors()] = i;
    }
    for (std::size_t i = entries.size(); i-- != 0;) {
        const auto tail = by_sector.find(entries[i].tail);
        if (tail == by_sector.end() || first[tail->second] != first[i] ||
            entries[tail->second].sequence > entries[i].sequence) {
            continue;
        }
        for (std::size_t k = tail->second; k <= i; ++k) {
            if (first[k] == first[i]) {
                active.push_back(entries[k]);
            }
        }
        break;
    }
    return active;
}

Status replay(ByteSource& file, const Header& header, const std::vector<LogEntry>& entries)
{
    Ring ring{file, header};
    for (const LogEntry& entry : entries) {
        if (auto done = replay_entry(file, ring, header, entry, &entry == &entries.back()); !done) {
            return done;
        }
    }
    return base::ok();
}

u64 LogWriter::capacity() const
{
    const u64 half = log_.length / kLogSector / 2;
    u64 sectors = half;
    while (sectors != 0 && sectors + descriptor_sectors(sectors) > half) {
        --sectors;
    }
    return sectors;
}

Status LogWriter::write(const Sectors& sectors)
{
    const u64 heads = descriptor_sectors(sectors.size());
    const u64 total = heads + sectors.size();
    const u64 ring = log_.length / kLogSector;
    if (sectors.size() > capacity()) {
        return fail(Errc::unsupported, "VHDX log is too small");
    }
    std::vector<u8> entry(total * kLogSector);
    sign(entry, "loge");
    store_le<u32>(entry, kEntryLength, static_cast<u32>(entry.size()));
    store_le<u32>(entry, kEntryTail, static_cast<u32>(next_ * kLogSector));
    store_le<u64>(entry, kEntrySequence, sequence_);
    store_le<u32>(entry, kEntryDescriptors, static_cast<u32>(sectors.size()));
    std::ranges::copy(id_, entry.begin() + kEntryGuid);
    const u64 end = file_.size() / kMiB * kMiB; // a device may end with less than a MiB
    store_le<u64>(entry, kEntryFlushed, end);   // all before this was flushed
    store_le<u64>(entry, kEntryLast, end);
    for (std::size_t i = 0; i < sectors.size(); ++i) {
        const auto& [target, bytes] = sectors[i];
        const auto d = std::span{entry}.subspan(kEntryHead + i * kDescriptorSize, kDescriptorSize);
        const auto data = std::span{entry}.subspan((heads + i) * kLogSector, kLogSector);
        sign(d, "desc");
        std::copy_n(bytes.begin() + kDataEnd, 4, d.begin() + kTrailing);
        std::copy_n(bytes.begin(), kDataAt, d.begin() + kLeading);
        store_le<u64>(d, kTarget, target);
        store_le<u64>(d, kDescriptorSequence, sequence_);
        std::ranges::copy(bytes, data.begin());
        sign(data, "data");
        store_le<u32>(data, kSequenceHigh, static_cast<u32>(sequence_ >> 32));
        store_le<u32>(data, kDataEnd, static_cast<u32>(sequence_));
    }
    store_le<u32>(entry, kEntryChecksum, crc32c(entry));
    const u64 to_end = std::min(total, ring - next_) * kLogSector;
    const std::span<const u8> all{entry};
    if (auto done = file_.write(FileOffset{log_.at + next_ * kLogSector}, all.first(to_end));
        !done) {
        return done;
    }
    if (to_end < all.size()) {
        if (auto done = file_.write(FileOffset{log_.at}, all.subspan(to_end)); !done) {
            return done;
        }
    }
    next_ = (next_ + total) % ring;
    ++sequence_;
    return file_.flush();
}

} // namespace img::vhdx
