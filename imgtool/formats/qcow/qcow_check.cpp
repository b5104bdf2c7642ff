// Checking and repairing a qcow image. There are no reference counts to compare with; what can be
// wrong is that entries lead out of the file or several lead to one place.
#include "base/endian.hpp"
#include "imgtool/formats/qcow/qcow_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::qcow {

namespace {

using base::Errc;
using base::fail;
using base::store_be;

/// Two bits are kept for each cluster of the file: 128 MiB for this many.
constexpr u64 kMaxFileClusters = u64{1} << 29;

/// What is known of the clusters of the file. Compressed clusters may share one.
class Usage {
public:
    Usage(u64 file_size, u32 cluster_bits)
        : bits_{cluster_bits}, count_{(file_size >> cluster_bits) + 1}, whole_(count_),
          packed_(count_)
    {}

    /// Notes a use of [at, at + length), which begins in the file. False when part of that has
    /// another use that cannot be shared.
    bool use(u64 at, u64 length, bool packed)
    {
        const u64 first = at >> bits_;
        const u64 last = std::min((at + length - 1) >> bits_, count_ - 1);
        bool free = true;
        for (u64 i = first; i <= last; ++i) {
            free = free && !whole_[i] && (packed || !packed_[i]);
            (packed ? packed_ : whole_)[i] = true;
        }
        return free;
    }
    bool used(u64 cluster) const { return whole_[cluster] || packed_[cluster]; }
    u64 count() const { return count_; }

private:
    u32 bits_;
    u64 count_;
    std::vector<bool> whole_;
    std::vector<bool> packed_;
};

class Checker {
public:
    /// `end`: where the image ends in the file.
    Checker(ByteSource& file, const Header& header, u64 end, Repair repair,
            const ProblemSink& problem)
        : file_{file}, header_{header}, end_{end}, repair_{repair}, problem_{problem},
          usage_{file.size(), header.cluster_bits}
    {}

    Result<CheckReport> run();

private:
    /// Says what an entry of a table that is not 0 is to be.
    using Mender = std::function<Result<u64>(u64 index, u64 entry)>;
    Status walk(u64 table, u64 entries, const Mender& visit);
    Result<u64> check_l1_entry(u64 index, u64 entry);
    Result<u64> check_l2_entry(u64 guest, u64 entry);
    Result<u64> copy_cluster(u64 host);
    Status find_leaks();
    Status give_back(u64 first, u64 end);

    ByteSource& file_;
    const Header& header_;
    u64 end_; // bytes
    Repair repair_;
    const ProblemSink& problem_;
    Usage usage_;
    CheckReport report_;
    u64 previous_ = 0; // host offset of the last data cluster
};

Status Checker::walk(u64 table, u64 entries, const Mender& visit)
{
    return each_entry(file_, table, entries, [&](u64 index, u64 entry) -> Status {
        auto now = visit(index, entry);
        if (!now || now.value() == entry) {
            return now ? base::ok() : Status{std::move(now).error()};
        }
        std::array<u8, 8> field{};
        store_be<u64>(field, 0, now.value());
        return file_.write(FileOffset{table + index * sizeof(u64)}, field);
    });
}

/// A copy of a cluster, at the end of the file.
Result<u64> Checker::copy_cluster(u64 host)
{
    std::vector<u8> bytes(header_.cluster_size());
    if (auto read = read_padded(file_, FileOffset{host}, bytes); !read) {
        return std::move(read).error();
    }
    const u64 at = (end_ + header_.within()) & ~header_.within();
    if (auto written = file_.write(FileOffset{at}, bytes); !written) {
        return std::move(written).error();
    }
    if (auto flushed = file_.flush(); !flushed) {
        return std::move(flushed).error();
    }
    end_ = at + bytes.size();
    return at;
}

Result<u64> Checker::check_l2_entry(u64 guest, u64 entry)
{
    const bool packed = (entry & kCompressed) != 0;
    const PackedRange range =
        packed ? packed_range(header_, entry) : PackedRange{entry, header_.cluster_size()};
    const bool astray = range.length == 0 || range.at < header_.l1_end() ||
                        range.at >= file_.size() || (!packed && range.at % 512 != 0);
    ++report_.allocated_clusters;
    report_.compressed_clusters += packed ? 1 : 0;
    if (!packed) {
        report_.fragmented_clusters +=
            previous_ != 0 && range.at != previous_ + header_.cluster_size() ? 1 : 0;
        previous_ = range.at;
    }
    if (!astray && usage_.use(range.at, range.length, packed)) {
        return entry;
    }
    problem_(fmt::format("{} guest offset {:#x} is mapped to {:#x}, which is {}",
                         repair_ == Repair::all && (astray || !packed) ? "Repairing" : "ERROR",
                         guest, range.at, astray ? "no place for data" : "in use already"));
    if (repair_ == Repair::all && astray) {
        ++report_.corruptions_fixed;
        return u64{0};
    }
    if (repair_ == Repair::all && !packed) {
        ++report_.corruptions_fixed;
        return copy_cluster(range.at);
    }
    ++report_.corruptions;
    return entry;
}

Result<u64> Checker::check_l1_entry(u64 index, u64 entry)
{
    const bool astray = entry % 512 != 0 || entry < header_.l1_end() || entry >= file_.size();
    if (astray || !usage_.use(entry, header_.l2_bytes(), false)) {
        const bool fix = repair_ == Repair::all && astray;
        problem_(fmt::format("{} L2 table {} is at {:#x}, which is {}", fix ? "Repairing" : "ERROR",
                             index, entry, astray ? "no place for a table" : "in use already"));
        ++(fix ? report_.corruptions_fixed : report_.corruptions);
        return fix ? u64{0} : entry;
    }
    const u64 first = index * header_.l2_reach();
    auto walked = walk(entry, header_.l2_entries(), [&](u64 i, u64 l2_entry) {
        return check_l2_entry(first + (i << header_.cluster_bits), l2_entry);
    });
    if (!walked) {
        return std::move(walked).error();
    }
    return entry;
}

/// Frees the storage of clusters [first, end) that nothing refers to.
Status Checker::give_back(u64 first, u64 end)
{
    const u64 at = first << header_.cluster_bits;
    if (end << header_.cluster_bits >= end_) {
        end_ = at;
        return file_.resize(at);
    }
    return file_.zero(FileOffset{at}, (end - first) << header_.cluster_bits);
}

/// Clusters that nothing refers to, unless they are holes and so take no room.
Status Checker::find_leaks()
{
    const u64 size = end_;
    // Writers round the L1 table up to whole sectors.
    const u64 l1_bytes = (header_.l1_end() - header_.l1_offset + 511) / 512 * 512;
    const u64 begin = (header_.l1_offset + l1_bytes + header_.within()) >> header_.cluster_bits;
    for (u64 i = begin; i < usage_.count() && i << header_.cluster_bits < size;) {
        if (usage_.used(i)) {
            ++i;
            continue;
        }
        const u64 at = i << header_.cluster_bits;
        auto run = file_.run_at(FileOffset{at});
        if (!run) {
            return std::move(run).error();
        }
        // The clusters of one kind that begin in this run.
        const u64 reach = at + std::min(run.value().length, size - at);
        const u64 first = i;
        while (i < usage_.count() && i << header_.cluster_bits < reach && !usage_.used(i)) {
            ++i;
        }
        if (!run.value().data && reach < size) {
            continue;
        }
        if (repair_ == Repair::none) {
            problem_(fmt::format("Leaked clusters {} to {}: nothing refers to them", first, i - 1));
            report_.leaks += i - first;
        } else {
            if (auto done = give_back(first, i); !done) {
                return done;
            }
            report_.leaks_fixed += i - first;
        }
    }
    return base::ok();
}

Result<CheckReport> Checker::run()
{
    (void)usage_.use(0, header_.l1_end(), false);
    const u64 clusters = header_.size >> header_.cluster_bits;
    report_.total_clusters = clusters + ((header_.size & header_.within()) != 0);
    auto walked = walk(header_.l1_offset, header_.l1_entries(),
                       [this](u64 index, u64 entry) { return check_l1_entry(index, entry); });
    if (!walked) {
        return std::move(walked).error();
    }
    // Only once nothing leads there any more; what was copied in a repair is not in `usage_`.
    if (repair_ != Repair::all || report_.corruptions_fixed == 0) {
        if (auto flushed = repair_ == Repair::none ? base::ok() : file_.flush(); !flushed) {
            return std::move(flushed).error();
        }
        if (auto looked = find_leaks(); !looked) {
            return std::move(looked).error();
        }
    }
    report_.image_end_offset = end_;
    return report_;
}

} // namespace

Result<CheckReport> check_file(ByteSource& file, const Header& header, Repair repair,
                               const ProblemSink& problem)
{
    if (header.l1_end() > file.size()) {
        CheckReport report;
        report.corruptions = 1;
        problem("ERROR the L1 table lies past the end of the file");
        return report;
    }
    if (file.size() >> header.cluster_bits > kMaxFileClusters) {
        return fail(Errc::unsupported, "the image file is too large for a check");
    }
    auto end = file.fixed_size() ? find_end(file, header) : Result<u64>{file.size()};
    if (!end) {
        return std::move(end).error();
    }
    return Checker{file, header, end.value(), repair, problem}.run();
}

} // namespace img::qcow
