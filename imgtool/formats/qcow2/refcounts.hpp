// Reference counts and allocation of host clusters (qcow2.txt, "Host cluster management").
#pragma once

#include "base/result.hpp"
#include "imgtool/formats/qcow2/layout.hpp"
#include "imgtool/formats/qcow2/offset_table.hpp"
#include "imgtool/formats/shared/slice_cache.hpp"

#include <functional>
#include <vector>

namespace img::qcow2 {

/// Reads or changes one reference count in a refcount block or a part of one.
u64 load_refcount(std::span<const u8> block, u64 index, u32 order);
void store_refcount(std::span<u8> block, u64 index, u32 order, u64 value);

/// A run of host clusters.
struct ClusterRun {
    u64 first;
    u64 count;
};

/// A whole set of new refcount structures, which count themselves: the blocks from cluster `start`
/// on, which nothing may use, and the table behind them.
struct NewRefcounts {
    u64 start;
    u64 blocks;
    u64 table_clusters;
    u32 rounds = 0; // that it took to plan them
    u64 end() const { return start + blocks + table_clusters; }
    u64 table_at(const Geometry& g) const { return (start + blocks) << g.cluster_bits; }
};
NewRefcounts plan_refcounts(const Geometry& geometry, u64 start);
/// Writes them, with `count_of` for the clusters before `start`, and waits for the disk.
Status write_refcounts(ByteSource& file, const Geometry& geometry, const NewRefcounts& plan,
                       const std::function<Result<u64>(u64 cluster)>& count_of);

class Refcounts {
public:
    /// `is_metadata(cluster)` tells clusters that can never be free; see allocate().
    Refcounts(ByteSource& file, const Header& header, std::function<bool(u64)> is_metadata);

    /// Reads the refcount table. The other functions may be called once it has succeeded.
    Status load();

    Result<u64> get(u64 cluster);
    Status set(u64 cluster, u64 value);
    /// Calls `look` with each cluster of the run and its count, until that fails.
    Status each(const ClusterRun& run, const std::function<Status(u64 cluster, u64 count)>& look);
    Status increase(const ClusterRun& run);
    Status decrease(const ClusterRun& run);

    /// Takes up to `wanted` free clusters in one run (at least one), with a count of one each.
    /// Error `corrupt`: a cluster that holds metadata is counted as free.
    Result<ClusterRun> allocate(u64 wanted);
    /// Takes exactly `count`, in one run.
    Result<u64> allocate_exactly(u64 count);

    // Writing back, in this order with a barrier between the two (see Qcow2Image::flush).
    bool blocks_dirty() const { return cache_.dirty(); }
    bool table_dirty() const { return table_dirty_; }
    bool crowded() const { return cache_.crowded(); }
    /// Finds room for a table that has grown. Before write_blocks().
    Status make_room_for_table();
    Status write_blocks();
    Status write_table();

    /// Gives up blocks that count nothing (but themselves). All else must have been written.
    Status drop_empty_blocks();
    /// Goes over to the structures that the header names now. All must have been written.
    Status switch_to(const Header& header);
    /// Moves a table that is longer than it need be, or far up in the file, to the first free room.
    Status move_table_down();

    u64 table_offset() const { return table_offset_; }
    u64 table_bytes() const { return table_clusters_ << geometry_.cluster_bits; }
    const OffsetTable& table() const { return table_; }

private:
    struct Place {
        u64 slice; // file offset
        u64 index; // of the count in the slice
    };
    Result<Place> place_of(u64 cluster); // `slice` is 0 where there is no block
    u64 counts_per_slice() const { return cache_.slice_size() * 8 >> geometry_.refcount_order; }
    Status change(const ClusterRun& run, bool up);
    Result<bool> is_free(u64 cluster);
    Result<u64> skip_used(u64 cluster);
    Status add_block(u64 table_index);
    Result<bool> counts_nothing(u64 table_index);
    Status check_takeable(u64 cluster) const;
    u64 table_capacity() const { return table_bytes() / sizeof(u64); } // entries

    ByteSource& file_;
    Geometry geometry_;
    std::function<bool(u64)> is_metadata_;
    SliceCache cache_;
    u64 table_offset_;
    u64 table_clusters_;
    OffsetTable table_; // as it will be in the file; may be longer than the file's for now
    bool table_dirty_ = false;
    ClusterRun old_table_{0, 0}; // to be given back once the header points elsewhere
    bool table_moved_ = false;
    u64 hint_ = 0;      // no free cluster is below
    u64 last_sane_ = 0; // a used cluster above cannot be
};

} // namespace img::qcow2
