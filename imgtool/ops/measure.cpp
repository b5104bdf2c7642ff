#include "imgtool/ops/measure.hpp"

#include <algorithm>

namespace img {

Result<u64> data_in_clusters(ChainDisk& disk, u64 cluster_size)
{
    u64 bytes = 0;
    u64 counted = 0; // where the last cluster that was counted ends
    for (u64 offset = 0; offset < disk.size();) {
        auto found = disk.find(offset, disk.size() - offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        const Extent& extent = found.value().extent;
        const u64 end = offset + extent.length;
        const bool stored =
            extent.kind == Extent::Kind::data || extent.kind == Extent::Kind::compressed;
        if (stored) {
            const u64 first = std::max(counted, offset - offset % cluster_size);
            counted = std::max(counted, (end + cluster_size - 1) / cluster_size * cluster_size);
            bytes += counted - std::min(first, counted);
        }
        offset = end;
    }
    return bytes;
}

Content content_of(ChainDisk& disk)
{
    Content content{.size = disk.size(), .data_in_clusters = [&disk](u64 cluster_size) {
                        return data_in_clusters(disk, cluster_size);
                    }};
    BitmapStore* bitmaps = disk.layers().front().image->bitmaps();
    if (bitmaps != nullptr && bitmaps->can_add()) {
        content.bitmaps = bitmaps->list();
    }
    return content;
}

} // namespace img
