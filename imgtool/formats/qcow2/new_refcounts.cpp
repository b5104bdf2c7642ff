// Writing all counts of an image anew, in clusters that nothing uses.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/refcounts.hpp"

#include <algorithm>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::store_be;

} // namespace

NewRefcounts plan_refcounts(const Geometry& geometry, u64 start)
{
    NewRefcounts plan{.start = start, .blocks = 0, .table_clusters = 0};
    while (true) {
        const u64 entries = geometry.refblock_entries();
        const u64 blocks = (plan.end() + entries - 1) / entries;
        const u64 table_clusters = geometry.clusters(blocks * sizeof(u64));
        ++plan.rounds;
        if (blocks == plan.blocks && table_clusters == plan.table_clusters) {
            return plan;
        }
        plan.blocks = blocks;
        plan.table_clusters = table_clusters;
    }
}

Status write_refcounts(ByteSource& file, const Geometry& geometry, const NewRefcounts& plan,
                       const std::function<Result<u64>(u64 cluster)>& count_of)
{
    if (plan.table_clusters << geometry.cluster_bits > kMaxReftableBytes) {
        return fail(Errc::unsupported, "the file is too large for a refcount table");
    }
    std::vector<u8> table(plan.table_clusters << geometry.cluster_bits);
    std::vector<u8> block(geometry.cluster_size());
    for (u64 i = 0; i < plan.blocks; ++i) {
        const u64 at = (plan.start + i) << geometry.cluster_bits;
        store_be<u64>(table, i * sizeof(u64), at);
        std::ranges::fill(block, u8{0});
        for (u64 e = 0; e < geometry.refblock_entries(); ++e) {
            const u64 cluster = i * geometry.refblock_entries() + e;
            if (cluster >= plan.end()) {
                break;
            }
            auto count = cluster < plan.start ? count_of(cluster) : Result<u64>{u64{1}};
            if (!count) {
                return std::move(count).error();
            }
            if (count.value() > geometry.refcount_max()) {
                return fail(Errc::unsupported, "the refcount width is too small for the image");
            }
            store_refcount(block, e, geometry.refcount_order, count.value());
        }
        if (auto done = file.write(FileOffset{at}, block); !done) {
            return done;
        }
    }
    if (auto done = file.write(FileOffset{plan.table_at(geometry)}, table); !done) {
        return done;
    }
    return file.flush();
}

} // namespace img::qcow2
