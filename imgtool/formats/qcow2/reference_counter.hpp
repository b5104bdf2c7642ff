// Counts what an image really refers to, for its check.
#pragma once

#include "imgtool/formats/qcow2/l2_entry.hpp"
#include "imgtool/formats/qcow2/layout.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace img::qcow2 {

/// References by cluster number, and which "copied" flags they had; takes memory only where there
/// are any.
class CountMap {
public:
    /// One cluster's.
    struct Uses {
        u32 count : 30;
        u32 flagged : 1; // some active table entry says that it is the only one
        u32 shared : 1;  // some says that it is not
    };
    static constexpr u32 kMaxCount = (u32{1} << 30) - 1;

    Uses uses(u64 cluster) const
    {
        return cluster / kPageSize == last_page_ ? last_[cluster % kPageSize] : find(cluster);
    }
    u32 get(u64 cluster) const { return uses(cluster).count; }
    /// Likewise, to be changed. `cluster` is one of the file.
    Uses& use(u64 cluster)
    {
        if (cluster / kPageSize != last_page_) {
            make_page(cluster);
        }
        end_ = std::max(end_, cluster + 1);
        return last_[cluster % kPageSize];
    }
    void decrement(u64 cluster);     // of one that was counted
    u64 end() const { return end_; } // one more than the highest cluster used

private:
    static constexpr u64 kPageSize = 1024;
    Uses find(u64 cluster) const;
    void make_page(u64 cluster);

    std::unordered_map<u64, std::unique_ptr<Uses[]>> pages_;
    mutable u64 last_page_ = ~u64{0};
    mutable Uses* last_ = nullptr;
    u64 end_ = 0;
};

/// Walks all tables of an image but the refcounts.
class ReferenceCounter {
public:
    ReferenceCounter(ByteSource& file, const Header& header, Repair repair, CheckReport& report,
                     const ProblemSink& problem)
        : file_{file}, header_{header}, geometry_{header.geometry()}, rules_{header},
          repair_{repair}, report_{report}, problem_{problem}, file_clusters_{
                                                                   geometry_.clusters(file.size())}
    {}

    Status count_all(const SnapshotTable& snapshots);
    /// Counts a range of the file, or reports it when it is not in the file.
    void count(u64 at, u64 length);
    /// Likewise the cluster that an active table's entry names, with that entry's flag.
    void count_flagged(u64 at, bool copied);
    /// Takes back what count() did for a range in the file.
    void uncount(u64 at, u64 length);

    const CountMap& counts() const { return counts_; }
    /// What was told so far (the first of it, where that is much).
    const std::vector<std::string>& problems() const { return told_; }
    /// Of the file, and what it lacks at its end.
    u64 file_clusters() const { return std::max(file_clusters_, counts_.end()); }

private:
    enum class Table { active, of_snapshot };
    Status count_l1(u64 offset, u32 entries, Table table);
    Status count_l2(u64 offset, Table table);
    u64 count_plain(std::span<const u8> table, u64 first, Table kind, u64& next_contiguous);
    void count_one(u64 cluster);
    void count_data(const L2Entry& l2_entry, u64 index, Table table, u64& next_contiguous);
    void count_packed(const L2Entry& l2_entry, u64 index, Table table);
    bool mend_misplaced(L2Entry& l2_entry);
    void check_bits(const L2Entry& l2_entry);
    bool check_snapshot(const Snapshot& snapshot);
    Status count_bitmaps(const Extension& e);
    void corrupt(const std::string& problem);

    ByteSource& file_;
    const Header& header_;
    Geometry geometry_;
    L2Rules rules_;
    Repair repair_;
    CheckReport& report_;
    const ProblemSink& problem_;
    u64 file_clusters_;
    CountMap counts_;
    std::vector<std::string> told_;
};

} // namespace img::qcow2
