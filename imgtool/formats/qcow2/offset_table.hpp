// A table whose entries lead to places in the file: the L1 table, the refcount table.
#pragma once

#include "imgtool/formats/qcow2/layout.hpp"

#include <unordered_map>
#include <utility>
#include <vector>

namespace img::qcow2 {

/// Entries with their index by place, so that asking whether one leads to a cluster does not take
/// longer the more there are: it is asked for each cluster that is written, and a hostile image has
/// millions of entries.
class OffsetTable {
public:
    OffsetTable() = default;
    OffsetTable(std::vector<u64> entries) : entries_{std::move(entries)} {} // NOLINT: it is one

    const std::vector<u64>& entries() const { return entries_; }
    std::size_t size() const { return entries_.size(); }
    bool empty() const { return entries_.empty(); }
    u64 operator[](u64 index) const { return entries_[index]; }

    /// Makes the table longer where `index` is beyond it.
    void set(u64 index, u64 entry);
    /// Takes other entries and gives those that were there.
    std::vector<u64> replace(std::vector<u64> entries);
    /// Gives up entries at the end that lead nowhere.
    void trim();

    /// Whether some entry leads to `at`, which is not 0.
    bool leads_to(u64 at) const;

private:
    static u64 place_of(u64 entry) { return entry & entry::offset_mask; }
    void build_index() const;

    std::vector<u64> entries_;
    // Made when it is first asked for: the places then, in order, and how many entries more or
    // fewer lead somewhere since.
    mutable bool indexed_ = false;
    mutable std::vector<u64> places_;
    mutable std::unordered_map<u64, int> changes_;
};

} // namespace img::qcow2
