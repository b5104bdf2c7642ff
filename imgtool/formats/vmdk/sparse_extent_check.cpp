// check for sparse extents: every entry must lead into the file, no two to the same place; the
// redundant tables must say what the tables say.
#include "base/endian.hpp"
#include "imgtool/formats/vmdk/sparse_extent.hpp"

#include <fmt/format.h>

#include <array>
#include <unordered_map>

namespace img::vmdk {

namespace {

/// Which of 2^32 places are taken; memory is used only around those that are.
class PlaceSet {
public:
    /// False: it was there.
    bool insert(u64 place)
    {
        auto& page = pages_[place / kPageBits];
        if (!page) {
            page = std::make_unique<Page>();
        }
        u8& byte = (*page)[place % kPageBits / 8];
        const u8 bit = static_cast<u8>(1 << place % 8);
        const bool fresh = (byte & bit) == 0;
        byte |= bit;
        return fresh;
    }

private:
    using Page = std::array<u8, 4096>;
    static constexpr u64 kPageBits = sizeof(Page) * 8;
    std::unordered_map<u64, std::unique_ptr<Page>> pages_;
};

} // namespace

struct SparseExtent::Checker {
    SparseExtent& extent;
    Repair repair;
    const ProblemSink& problem;
    CheckReport& report;
    u64 file_sectors;
    PlaceSet tables{};
    PlaceSet grains{};

    void corruption(const std::string& text)
    {
        problem("ERROR: " + text);
        ++report.corruptions;
    }

    /// Grains may be anywhere; packed ones are of any length.
    u64 place_of(u32 entry) const
    {
        return extent.geometry_.packed ? entry : entry / extent.geometry_.grain;
    }

    Status check_grain(u64 grain, u32 entry)
    {
        if (extent.kind_of(entry) != Kind::stored) {
            return base::ok();
        }
        if (entry >= file_sectors) {
            corruption(fmt::format("cluster offset after file size (grain {}, sector {:#x})", grain,
                                   entry));
        } else if (entry < extent.geometry_.overhead) {
            corruption(fmt::format("grain {} lies in the metadata, at sector {:#x}", grain, entry));
        } else if (!grains.insert(place_of(entry))) {
            corruption(fmt::format("grain {} shares sector {:#x} with another", grain, entry));
        }
        return base::ok();
    }

    Status check_copy(u64 table, u64 copy, u64 first_grain, u64 count)
    {
        bool differs = false;
        for (u64 i = 0; i < count; ++i) {
            auto here = extent.load(extent.tables_, table, i);
            if (!here) {
                return std::move(here).error();
            }
            auto there = extent.load(extent.tables_, copy, i);
            if (!there) {
                return std::move(there).error();
            }
            differs |= here.value() != there.value();
            if (here.value() != there.value() && repair != Repair::none) {
                if (auto done = extent.store(extent.tables_, copy, i, here.value()); !done) {
                    return done;
                }
            }
        }
        if (differs) {
            problem(fmt::format("{} redundant grain table of grain {}",
                                repair == Repair::none ? "Outdated" : "Repairing the outdated",
                                first_grain));
            ++(repair == Repair::none ? report.leaks : report.leaks_fixed);
        }
        return base::ok();
    }

    Status check_table(u64 index)
    {
        const Geometry& g = extent.geometry_;
        auto table = extent.load(extent.directory_, g.directory, index);
        if (!table) {
            return std::move(table).error();
        }
        if (table.value() == 0) {
            return base::ok();
        }
        if (table.value() + g.table_sectors() > file_sectors) {
            corruption(fmt::format("grain table {} is after file size", index));
            return base::ok();
        }
        if (!tables.insert(table.value())) {
            corruption(fmt::format("grain table {} is used twice", index));
            return base::ok();
        }
        const u64 first = index * g.table_entries;
        const u64 all = (g.capacity + g.grain - 1) / g.grain;
        const u64 count = std::min<u64>(g.table_entries, all - first);
        for (u64 i = 0; i < count; ++i) {
            auto entry = extent.load(extent.tables_, table.value(), i);
            if (!entry) {
                return std::move(entry).error();
            }
            if (auto done = check_grain(first + i, entry.value()); !done) {
                return done;
            }
        }
        if (g.redundant_directory == 0) {
            return base::ok();
        }
        auto copy = extent.load(extent.directory_, g.redundant_directory, index);
        if (!copy) {
            return std::move(copy).error();
        }
        if (copy.value() == 0 || copy.value() + g.table_sectors() > file_sectors) {
            return base::ok(); // nobody reads it
        }
        return check_copy(table.value(), copy.value(), first, count);
    }
};

Status SparseExtent::check(Repair repair, const ProblemSink& problem, CheckReport& report)
{
    Checker checker{.extent = *this,
                    .repair = repair,
                    .problem = problem,
                    .report = report,
                    .file_sectors = (file_.size() + kSector - 1) / kSector};
    const u64 reach = geometry_.grain * geometry_.table_entries;
    const u64 in_file = file_.size() / sizeof(u32) -
                        std::min(file_.size(), geometry_.directory * kSector) / sizeof(u32);
    // What would be behind the end of the file is no table.
    const u64 needed = std::min((geometry_.capacity + reach - 1) / reach, in_file);
    for (u64 i = 0; i < needed; ++i) {
        if (auto done = checker.check_table(i); !done) {
            return done;
        }
        if (crowded()) {
            if (auto done = flush(); !done) {
                return done;
            }
        }
    }
    return dirty() ? flush() : base::ok();
}

} // namespace img::vmdk
