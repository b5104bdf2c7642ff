// Where the grains of a sparse extent end in a file that does not end with them.
#include "base/endian.hpp"
#include "imgtool/formats/vmdk/sparse_extent.hpp"

#include <algorithm>
#include <set>

namespace img::vmdk {

/// Sectors of a grain from where its entry leads.
Result<u64> SparseExtent::stored_sectors(u32 entry)
{
    if (!geometry_.packed) {
        return geometry_.grain;
    }
    u64 bytes = geometry_.grain_bytes() * 2; // no packed grain is longer
    if (geometry_.markers) {
        std::array<u8, kMarkerHeader> marker{};
        if (auto read = read_padded(file_, FileOffset{entry * kSector}, marker); !read) {
            return std::move(read).error();
        }
        bytes = std::min<u64>(bytes, base::load_le<u32>(marker, 8)) + kMarkerHeader;
    }
    return (bytes + kSector - 1) / kSector;
}

/// What a table's entries lead to lies before `next_sector_` from now on.
Status SparseExtent::pass_grains(u64 table)
{
    for (u64 i = 0; i < geometry_.table_entries; ++i) {
        auto entry = load(tables_, table, i);
        if (!entry) {
            return std::move(entry).error();
        }
        if (kind_of(entry.value()) != Kind::stored) {
            continue;
        }
        auto sectors = stored_sectors(entry.value());
        if (!sectors) {
            return std::move(sectors).error();
        }
        next_sector_ = std::max(next_sector_, entry.value() + sectors.value());
    }
    return base::ok();
}

Status SparseExtent::find_end()
{
    const u64 file_sectors = file_.size() / kSector;
    std::set<u32> seen; // tables; no more than the file has room for
    next_sector_ = geometry_.overhead;
    for (const u64 directory : {geometry_.directory, geometry_.redundant_directory}) {
        const u64 sectors = (geometry_.directory_entries * sizeof(u32) + kSector - 1) / kSector;
        next_sector_ = std::max(next_sector_, directory == 0 ? 0 : directory + sectors);
        for (u64 i = 0; directory != 0 && i < geometry_.directory_entries; ++i) {
            auto table = load(directory_, directory, i);
            if (!table) {
                return std::move(table).error();
            }
            const u64 table_end = table.value() + geometry_.table_sectors();
            if (table.value() == 0 || table_end > file_sectors ||
                !seen.insert(table.value()).second) {
                continue; // what is wrong is told when it is needed
            }
            next_sector_ = std::max(next_sector_, table_end);
            if (auto passed = pass_grains(table.value()); !passed) {
                return passed;
            }
        }
    }
    if (!geometry_.packed) {
        next_sector_ = (next_sector_ + geometry_.grain - 1) / geometry_.grain * geometry_.grain;
    }
    return base::ok();
}

} // namespace img::vmdk
