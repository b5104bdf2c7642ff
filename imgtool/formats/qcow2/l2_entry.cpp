#include "imgtool/formats/qcow2/l2_entry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

} // namespace

ClusterKind L2Rules::kind(const L2Entry& entry, u32 subcluster) const
{
    if ((entry.word & entry::compressed) != 0) {
        return ClusterKind::compressed;
    }
    const bool there = has_cluster(entry);
    const bool zero = geometry_.extended_l2 ? (entry.bitmap & zero_mask(subcluster, 1)) != 0
                                            : has_zero_flag_ && (entry.word & entry::zero) != 0;
    if (zero) {
        return there ? ClusterKind::zero_reserved : ClusterKind::zero_plain;
    }
    if (!there) {
        return ClusterKind::unallocated;
    }
    return geometry_.extended_l2 && (entry.bitmap & subcluster_mask(subcluster, 1)) == 0
               ? ClusterKind::unallocated_reserved
               : ClusterKind::data;
}

u32 L2Rules::alike(const L2Entry& entry, u32 subcluster) const
{
    const u32 left = geometry_.subclusters() - subcluster;
    if (left == 1 || (entry.word & entry::compressed) != 0) {
        return left;
    }
    const u32 data = static_cast<u32>(entry.bitmap) >> subcluster;
    const u32 zero = static_cast<u32>(entry.bitmap >> kSubclusters) >> subcluster;
    const u32 same = (zero & 1) != 0 ? zero : (data & 1) != 0 ? data & ~zero : ~(data | zero);
    return std::min(left, static_cast<u32>(std::countr_one(same)));
}

L2Rules::Held L2Rules::held(const L2Entry& entry) const
{
    const u32 all = geometry_.subclusters();
    if (!geometry_.extended_l2) {
        return kind(entry, 0) == ClusterKind::data || kind(entry, 0) == ClusterKind::compressed
                   ? Held{0, all}
                   : Held{all, 0};
    }
    if ((entry.word & entry::compressed) != 0) {
        return {0, all};
    }
    const u32 data = static_cast<u32>(entry.bitmap);
    return {static_cast<u32>(std::countr_zero(data)),
            kSubclusters - static_cast<u32>(std::countl_zero(data))};
}

base::Status L2Rules::check(const L2Entry& entry, u64 guest) const
{
    const bool compressed = (entry.word & entry::compressed) != 0;
    const u64 host = cluster_at(entry);
    if (!compressed && (host & geometry_.within()) != 0) {
        return fail(Errc::corrupt, fmt::format("qcow2: Cluster allocation offset {:#x} unaligned "
                                               "(guest offset: {:#x})",
                                               host, guest));
    }
    if (in_data_file_ && compressed) {
        return fail(Errc::corrupt,
                    fmt::format("qcow2: Compressed cluster entry found in image with external "
                                "data file (guest offset: {:#x})",
                                guest));
    }
    if (in_data_file_ && has_cluster(entry) && host != guest) {
        return fail(Errc::corrupt,
                    fmt::format("qcow2: External data file host cluster offset {:#x} does not "
                                "match guest cluster offset: {:#x}",
                                host, guest));
    }
    const u64 both = entry.bitmap & (entry.bitmap >> kSubclusters) & kAllData;
    const bool data_nowhere = !has_cluster(entry) && (entry.bitmap & kAllData) != 0;
    if (!compressed && (both != 0 || data_nowhere)) {
        return fail(Errc::corrupt,
                    fmt::format("qcow2: Invalid cluster entry found (guest offset: {:#x}, "
                                "subcluster bitmap: {:#x})",
                                guest, entry.bitmap));
    }
    return base::ok();
}

} // namespace img::qcow2
