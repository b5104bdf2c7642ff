// What an entry of an L2 table says of a cluster and its subclusters.
//
// Without extended entries a cluster is its own only subcluster, so that mapping and allocation are
// written once for both kinds (qcow2.txt, "L2 table entry" and "Extended L2 Entries").
#pragma once

#include "base/endian.hpp"
#include "imgtool/formats/qcow2/layout.hpp"

namespace img::qcow2 {

struct L2Entry {
    u64 word = 0;
    u64 bitmap = 0; // of subclusters; 0 where entries are not extended
    bool operator==(const L2Entry&) const = default;
};

enum class ClusterKind : u8 {
    unallocated,
    unallocated_reserved, // not written, in a cluster that has a place in the file
    zero_plain,
    zero_reserved,
    data,
    compressed
};

inline bool is_reserved(ClusterKind kind)
{
    return kind == ClusterKind::unallocated_reserved || kind == ClusterKind::zero_reserved;
}

/// A bit for each of `count` subclusters from `first` on.
inline u64 subcluster_mask(u32 first, u32 count)
{
    return ((u64{1} << count) - 1) << first;
}
/// The same among the bits that say "reads as zero".
inline u64 zero_mask(u32 first, u32 count)
{
    return subcluster_mask(first, count) << kSubclusters;
}
inline constexpr u64 kAllData = 0xffff'ffff;
inline constexpr u64 kAllZero = kAllData << kSubclusters;

/// How entries of one image are to be read.
class L2Rules {
public:
    explicit L2Rules(const Header& header)
        : geometry_{header.geometry()}, has_zero_flag_{header.version >= 3 &&
                                                       !geometry_.extended_l2},
          in_data_file_{header.has_data_file()}
    {}

    L2Entry load(std::span<const u8> table, u64 index) const
    {
        const u64 at = index * geometry_.l2_entry_size();
        return {base::load_be<u64>(table, at),
                geometry_.extended_l2 ? base::load_be<u64>(table, at + sizeof(u64)) : 0};
    }
    void store(std::span<u8> table, u64 index, const L2Entry& entry) const
    {
        const u64 at = index * geometry_.l2_entry_size();
        base::store_be<u64>(table, at, entry.word);
        if (geometry_.extended_l2) {
            base::store_be<u64>(table, at + sizeof(u64), entry.bitmap);
        }
    }

    /// Whether the entry names a whole cluster of the file.
    bool has_cluster(const L2Entry& entry) const
    {
        // In a data file 0 is an offset like any other; the flag tells that it is one.
        return (entry.word & entry::compressed) == 0 &&
               (cluster_at(entry) != 0 || (in_data_file_ && (entry.word & entry::copied) != 0));
    }
    /// Likewise, and nothing else refers to it.
    bool owns_cluster(const L2Entry& entry) const
    {
        return has_cluster(entry) && (entry.word & entry::copied) != 0;
    }
    u64 cluster_at(const L2Entry& entry) const { return entry.word & entry::offset_mask; }
    /// An ordinary cluster of this file, or nothing at all, without any subclusters: for walks
    /// over many entries. Whatever else is worth a closer look.
    bool is_plain(const L2Entry& entry) const
    {
        return ((entry.word & ~(entry::offset_mask | entry::copied)) | entry.bitmap |
                (entry.word & entry::offset_mask & geometry_.within())) == 0 &&
               !in_data_file_ && (cluster_at(entry) != 0 || entry.word == 0);
    }

    ClusterKind kind(const L2Entry& entry, u32 subcluster) const;
    /// How many subclusters from `subcluster` on, to the end of the cluster, are of its kind.
    u32 alike(const L2Entry& entry, u32 subcluster) const;

    /// The subclusters whose data would be lost with the cluster: [first, end).
    struct Held {
        u32 first, end;
    };
    Held held(const L2Entry& entry) const;

    /// Error `corrupt` for entries that make no sense. `guest`: where the cluster begins.
    base::Status check(const L2Entry& entry, u64 guest) const;

private:
    Geometry geometry_;
    bool has_zero_flag_;
    bool in_data_file_;
};

} // namespace img::qcow2
