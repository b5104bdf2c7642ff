#include "imgtool/formats/qcow2/reference_counter.hpp"

#include "base/endian.hpp"
#include "imgtool/zero_scan.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::qcow2 {

using base::load_be;

CountMap::Uses CountMap::find(u64 cluster) const
{
    const auto it = pages_.find(cluster / kPageSize);
    if (it == pages_.end()) {
        return {};
    }
    last_page_ = it->first;
    last_ = it->second.get();
    return last_[cluster % kPageSize];
}

void CountMap::make_page(u64 cluster)
{
    auto& page = pages_[cluster / kPageSize];
    if (!page) {
        page = std::make_unique<Uses[]>(kPageSize);
    }
    last_page_ = cluster / kPageSize;
    last_ = page.get();
}

void CountMap::decrement(u64 cluster)
{
    if (get(cluster) != 0) {
        --last_[cluster % kPageSize].count;
    }
}

void ReferenceCounter::corrupt(const std::string& problem)
{
    constexpr std::size_t kMaxTold = 1000;
    problem_(problem);
    ++report_.corruptions;
    if (told_.size() < kMaxTold) {
        told_.push_back(problem);
    }
}

void ReferenceCounter::count(u64 at, u64 length)
{
    if (length == 0) {
        return;
    }
    const u64 first = at >> geometry_.cluster_bits;
    const u64 last = (at + length - 1) >> geometry_.cluster_bits;
    // The end of a table may be missing from the file: it reads as zero.
    if (last >= file_clusters_ && at + length - file_.size() > geometry_.cluster_size()) {
        return corrupt(fmt::format("ERROR: counting reference for region exceeding the end of the "
                                   "file by one cluster or more: offset {:#x} size {:#x}",
                                   at, length));
    }
    for (u64 cluster = first; cluster <= last; ++cluster) {
        count_one(cluster);
    }
}

void ReferenceCounter::count_one(u64 cluster)
{
    CountMap::Uses& uses = counts_.use(cluster);
    if (uses.count == std::min(geometry_.refcount_max(), u64{CountMap::kMaxCount})) {
        return corrupt(fmt::format("ERROR: overflow cluster offset={:#x}\n"
                                   "Use qemu-img amend to increase the refcount entry width or "
                                   "qemu-img convert to create a clean copy if the image cannot be "
                                   "opened for writing",
                                   cluster << geometry_.cluster_bits));
    }
    ++uses.count;
}

void ReferenceCounter::count_flagged(u64 at, bool copied)
{
    const u64 cluster = at >> geometry_.cluster_bits;
    if (cluster >= file_clusters_) {
        return count(at, geometry_.cluster_size());
    }
    count_one(cluster);
    CountMap::Uses& uses = counts_.use(cluster);
    if (copied) {
        uses.flagged = 1;
    } else {
        uses.shared = 1;
    }
}

void ReferenceCounter::uncount(u64 at, u64 length)
{
    if (geometry_.clusters(at + length) > file_clusters_) {
        return; // was not counted
    }
    for (u64 c = at >> geometry_.cluster_bits; c < geometry_.clusters(at + length); ++c) {
        counts_.decrement(c);
    }
}

void ReferenceCounter::count_packed(const L2Entry& l2_entry, u64 index, Table table)
{
    if (header_.has_data_file()) {
        return corrupt(fmt::format("ERROR compressed cluster {} with data file, entry={:#x}", index,
                                   l2_entry.word));
    }
    if (l2_entry.bitmap != 0) {
        return corrupt(fmt::format("ERROR compressed cluster {} with non-zero subcluster "
                                   "allocation bitmap, entry={:#x}",
                                   index, l2_entry.word));
    }
    if ((l2_entry.word & entry::copied) != 0) {
        corrupt(fmt::format("ERROR: coffset={:#x}: copied flag must never be set for "
                            "compressed clusters",
                            rules_.cluster_at(l2_entry)));
    }
    const PackedRange range = packed_range(geometry_, l2_entry.word);
    count(range.at, range.length);
    if (table == Table::active) {
        ++report_.allocated_clusters;
        ++report_.compressed_clusters;
        ++report_.fragmented_clusters; // each is read by itself
    }
}

/// Bits that must not be set, and subclusters that cannot be.
void ReferenceCounter::check_bits(const L2Entry& l2_entry)
{
    if ((l2_entry.word & entry::l2_reserved) != 0) {
        corrupt(fmt::format("ERROR found l2 entry with reserved bits set: {:x}", l2_entry.word));
    }
    if (rules_.has_cluster(l2_entry)) {
        if ((l2_entry.bitmap & l2_entry.bitmap >> kSubclusters & kAllData) != 0) {
            corrupt(fmt::format("ERROR offset={:x}: Allocated cluster has corrupted subcluster "
                                "allocation bitmap",
                                rules_.cluster_at(l2_entry)));
        }
    } else if ((l2_entry.bitmap & kAllData) != 0) {
        corrupt("ERROR: Unallocated cluster has non-zero subcluster allocation map");
    }
}

/// A cluster that begins inside of another. Where it holds no data the entry can do without; that
/// is done, and true, when everything is to be repaired.
bool ReferenceCounter::mend_misplaced(L2Entry& l2_entry)
{
    const u64 offset = rules_.cluster_at(l2_entry);
    if (!rules_.has_cluster(l2_entry) || (offset & geometry_.within()) == 0) {
        return false;
    }
    if (rules_.held(l2_entry).end != 0) {
        corrupt(fmt::format("ERROR offset={:x}: Data cluster is not properly aligned; L2 entry "
                            "corrupted.",
                            offset));
        return false;
    }
    const auto text = [offset](std::string_view what) {
        return fmt::format("{} offset={:x}: Preallocated cluster is not properly aligned; L2 entry "
                           "corrupted.",
                           what, offset);
    };
    if (repair_ != Repair::all) {
        corrupt(text("ERROR"));
        return false;
    }
    problem_(text("Repairing"));
    ++report_.corruptions_fixed;
    l2_entry = geometry_.extended_l2 ? L2Entry{0, l2_entry.bitmap} : L2Entry{entry::zero, 0};
    return true;
}

void ReferenceCounter::count_data(const L2Entry& l2_entry, u64 index, Table table,
                                  u64& next_contiguous)
{
    if ((l2_entry.word & entry::compressed) != 0) {
        return count_packed(l2_entry, index, table);
    }
    check_bits(l2_entry);
    if (!rules_.has_cluster(l2_entry)) {
        return;
    }
    const u64 offset = rules_.cluster_at(l2_entry);
    if (table == Table::active) {
        ++report_.allocated_clusters;
        if (next_contiguous != 0 && offset != next_contiguous) {
            ++report_.fragmented_clusters;
        }
        next_contiguous = offset + geometry_.cluster_size();
    }
    if (header_.has_data_file()) {
        return;
    }
    if (table == Table::active && (offset & geometry_.within()) == 0) {
        return count_flagged(offset, (l2_entry.word & entry::copied) != 0);
    }
    count(offset, geometry_.cluster_size());
}

/// Counts what needs no second look: entries of nothing, and of ordinary clusters of data. Returns
/// the first index at which there is something else, or the end.
u64 ReferenceCounter::count_plain(std::span<const u8> table, u64 first, Table kind,
                                  u64& next_contiguous)
{
    const u64 end = geometry_.l2_entries();
    if (geometry_.extended_l2 || header_.has_data_file() || kind != Table::active) {
        return first;
    }
    constexpr u64 kLook = 64; // entries
    for (u64 i = first; i < end; ++i) {
        const u64 word = load_be<u64>(table, i * sizeof(u64));
        if (word == 0) {
            if (i % kLook == 0 && i + kLook <= end &&
                is_zero(table.subspan(i * sizeof(u64), kLook * sizeof(u64)))) {
                i += kLook - 1;
            }
            continue;
        }
        if (!rules_.is_plain({word, 0})) {
            return i;
        }
        const u64 offset = word & entry::offset_mask;
        ++report_.allocated_clusters;
        report_.fragmented_clusters += next_contiguous != 0 && offset != next_contiguous ? 1 : 0;
        next_contiguous = offset + geometry_.cluster_size();
        count_flagged(offset, (word & entry::copied) != 0);
    }
    return end;
}

Status ReferenceCounter::count_l2(u64 offset, Table table)
{
    std::vector<u8> bytes(geometry_.cluster_size());
    if (auto read = read_padded(file_, FileOffset{offset}, bytes); !read) {
        return std::move(read).error().in("reading an L2 table");
    }
    u64 next_contiguous = 0;
    bool mended = false;
    for (u64 i = 0; i < geometry_.l2_entries(); ++i) {
        i = count_plain(bytes, i, table, next_contiguous);
        if (i == geometry_.l2_entries()) {
            break;
        }
        L2Entry l2_entry = rules_.load(bytes, i);
        if (l2_entry == L2Entry{}) {
            continue;
        }
        if (mend_misplaced(l2_entry)) {
            rules_.store(bytes, i, l2_entry);
            mended = true;
            continue;
        }
        count_data(l2_entry, i, table, next_contiguous);
    }
    return mended ? file_.write(FileOffset{offset}, bytes) : base::ok();
}

Status ReferenceCounter::count_l1(u64 offset, u32 entries, Table table)
{
    std::vector<u8> bytes(u64{entries} * sizeof(u64)); // bounded when the header was parsed
    count(offset, bytes.size());
    if (auto read = read_padded(file_, FileOffset{offset}, bytes); !read) {
        return std::move(read).error().in("reading an L1 table");
    }
    // A table named many times would make the check take for ever.
    std::unordered_set<u64> seen;
    for (u64 i = 0; i < entries; ++i) {
        const u64 l1_entry = load_be<u64>(bytes, i * sizeof(u64));
        const u64 l2 = l1_entry & entry::offset_mask;
        if (l2 == 0) {
            continue;
        }
        if ((l1_entry & entry::l1_reserved) != 0) {
            corrupt(fmt::format("ERROR found L1 entry with reserved bits set: {:x}", l1_entry));
        }
        if ((l2 & geometry_.within()) != 0) {
            corrupt(fmt::format("ERROR l2_offset={:x}: Table is not cluster aligned; L1 entry "
                                "corrupted",
                                l2));
            continue;
        }
        if (table == Table::active) {
            count_flagged(l2, (l1_entry & entry::copied) != 0);
        } else {
            count(l2, geometry_.cluster_size());
        }
        if (l2 >> geometry_.cluster_bits >= file_clusters_) {
            continue; // reported by count()
        }
        if (!seen.insert(l2).second) {
            corrupt(
                fmt::format("ERROR l2_offset={:x}: Table is used for two ranges of the disk", l2));
            continue;
        }
        if (auto done = count_l2(l2, table); !done) {
            return done;
        }
    }
    return base::ok();
}

/// Whether a snapshot's L1 table can be read.
bool ReferenceCounter::check_snapshot(const Snapshot& snapshot)
{
    const std::string who =
        fmt::format("ERROR snapshot {} ({}) ", snapshot.info.id, snapshot.info.name);
    if (snapshot.l1_size == 0) {
        return false;
    }
    if ((snapshot.l1_offset & geometry_.within()) != 0) {
        corrupt(who + fmt::format("l1_offset={:#x}: L1 table is not cluster aligned; snapshot "
                                  "table entry corrupted",
                                  snapshot.l1_offset));
        return false;
    }
    if (u64{snapshot.l1_size} * sizeof(u64) > kMaxL1Bytes) {
        corrupt(who + fmt::format("l1_size={:#x}: L1 table is too large; snapshot table entry "
                                  "corrupted",
                                  snapshot.l1_size));
        return false;
    }
    return true;
}

Status ReferenceCounter::count_all(const SnapshotTable& snapshots)
{
    count(0, geometry_.cluster_size());
    if (auto done = count_l1(header_.l1_offset, header_.l1_size, Table::active); !done) {
        return done;
    }
    std::unordered_set<u64> seen;
    for (const Snapshot& snapshot : snapshots.snapshots) {
        if (!check_snapshot(snapshot)) {
            continue;
        }
        if (!seen.insert(snapshot.l1_offset).second) {
            corrupt(fmt::format("ERROR: two snapshots have their L1 table at {:#x}",
                                snapshot.l1_offset));
            continue;
        }
        if (auto done = count_l1(snapshot.l1_offset, snapshot.l1_size, Table::of_snapshot); !done) {
            return done;
        }
    }
    count(header_.luks_place().at, header_.luks_place().length);
    count(header_.snapshots_offset, snapshots.bytes);
    for (const Extension& e : header_.extensions) {
        if (e.type != extension::bitmaps || e.data.size() < 24) {
            continue;
        }
        if (auto done = count_bitmaps(e); !done) {
            return done;
        }
    }
    count(header_.reftable_offset, u64{header_.reftable_clusters} << geometry_.cluster_bits);
    return base::ok();
}

/// qcow2.txt, "Bitmaps": the directory, each bitmap's table, and the clusters those name.
Status ReferenceCounter::count_bitmaps(const Extension& e)
{
    if ((header_.autoclear_features & autoclear::bitmaps) == 0) {
        return base::ok(); // left behind by a program that does not know them
    }
    constexpr u64 kMaxDirectory = u64{64} << 20; // bytes
    constexpr u64 kFixedPart = 24;               // bytes of a directory entry
    constexpr u32 kMaxTable = 1 << 20;           // entries
    const u64 size = load_be<u64>(e.data, 8);
    const u64 at = load_be<u64>(e.data, 16);
    if (size > kMaxDirectory || at > entry::offset_mask || (at & geometry_.within()) != 0) {
        corrupt("ERROR: the bitmap directory is misplaced or too large");
        return base::ok();
    }
    count(at, size);
    if (geometry_.clusters(at + size) > file_clusters_) {
        return base::ok(); // reported by count()
    }
    std::vector<u8> directory(size);
    if (auto read = read_padded(file_, FileOffset{at}, directory); !read) {
        return std::move(read).error().in("reading the bitmap directory");
    }
    for (u64 pos = 0; pos + kFixedPart <= size;) {
        const u64 table = load_be<u64>(directory, pos);
        const u32 entries = load_be<u32>(directory, pos + 8);
        const u64 tail = u64{load_be<u16>(directory, pos + 18)} + load_be<u32>(directory, pos + 20);
        pos = (pos + kFixedPart + tail + 7) & ~u64{7};
        if (entries > kMaxTable || table > entry::offset_mask ||
            (table & geometry_.within()) != 0) {
            corrupt("ERROR: a bitmap table is misplaced or too large");
            continue;
        }
        std::vector<u8> bytes(u64{entries} * sizeof(u64));
        count(table, bytes.size());
        if (auto read = read_padded(file_, FileOffset{table}, bytes); !read) {
            return std::move(read).error().in("reading a bitmap table");
        }
        for (u64 i = 0; i < entries; ++i) {
            if (const u64 data = load_be<u64>(bytes, i * 8) & entry::offset_mask; data != 0) {
                count(data, geometry_.cluster_size());
            }
        }
    }
    return base::ok();
}

} // namespace img::qcow2
