// One sparse extent of a VMDK disk: a file of grains with a directory of tables that say where each
// grain is. Hosted ("KDMV") and ESX ("COWD") extents differ only in their geometry.
//
// Positions here count from the beginning of the extent; VmdkImage puts extents together.
#pragma once

#include "imgtool/formats/shared/slice_cache.hpp"
#include "imgtool/formats/vmdk/layout.hpp"
#include "imgtool/image.hpp"

#include <optional>
#include <vector>

namespace img::vmdk {

class SparseExtent {
public:
    /// Reads the header of the sparse extent in `file`, which must outlive the result.
    /// `cache_slices` bounds the memory for tables, in sectors.
    static Result<std::unique_ptr<SparseExtent>> open(ByteSource& file, std::size_t cache_slices);

    const Geometry& geometry() const { return geometry_; }
    u64 size() const { return geometry_.capacity * kSector; }
    /// Why nothing can be written, whatever the file says; empty when it can.
    std::string why_read_only() const;

    // As in Image.
    Result<Extent> map(u64 from, u64 limit);
    Result<Placement> place(u64 from, u64 length);
    Status publish(const Placement& placement);
    void abandon(const Placement& placement);
    /// `reads_zero`: what has no grain reads as zero already.
    Result<u64> place_zeroes(u64 from, u64 length, bool reads_zero);
    Status write_packed(u64 block, std::span<const u8> packed);

    /// Too much that waits for a flush.
    bool crowded() const { return tables_.crowded() || directory_.crowded(); }
    bool dirty() const { return tables_.dirty() || directory_.dirty(); }
    /// What is referred to before what refers to it: data and new tables, entries of tables,
    /// entries of the directory.
    Status flush();

    Status check(Repair repair, const ProblemSink& problem, CheckReport& report);

private:
    SparseExtent(ByteSource& file, const Geometry& geometry, std::size_t cache_slices);

    /// Where a grain's entry is.
    struct Place {
        u64 table; // sector; 0: there is no table
        u32 index; // in the table
        u32 left;  // entries from there to the table's end
    };
    enum class Kind : u8 { absent, zeroed, stored };

    Kind kind_of(u32 entry) const;
    Result<u32> load(SliceCache& cache, u64 table, u64 index);
    Status store(SliceCache& cache, u64 table, u64 index, u32 value);
    Result<Place> find(u64 grain);
    Result<u64> empty_grains(u64 grain, u64 wanted);
    Result<Extent> packed_extent(u64 grain, u32 entry, const Place& at);

    Result<Place> find_for_write(u64 grain);
    Status check_table(u64 table) const;
    Status make_table(u64 directory_index);
    Result<u64> take_sectors(u64 count);
    Result<u64> stored_sectors(u32 entry);
    Status pass_grains(u64 table);
    Status find_end();
    Status set_entries(u64 grain, u64 count, u64 first_sector, u64 step);
    Status check_can_write() const;

    struct Checker;

    ByteSource& file_;
    Geometry geometry_;
    SliceCache directory_;
    SliceCache tables_;
    u64 next_sector_ = 0; // where the file's next grain goes
};

} // namespace img::vmdk
