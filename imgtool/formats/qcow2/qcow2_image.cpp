#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/qcow2/open_options.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;

constexpr u64 kSliceSize = 4096;           // bytes
constexpr std::size_t kCachedSlices = 256; // 1 MiB: the map of 8 GiB at the default cluster size

Result<std::vector<u64>> read_l1(ByteSource& file, const Header& header)
{
    const u64 bytes_size = u64{header.l1_size} * sizeof(u64);
    if (header.l1_offset > file.size() || bytes_size > file.size() - header.l1_offset) {
        return fail(Errc::corrupt, "Could not read L1 table: it lies past the end of the file");
    }
    std::vector<u8> bytes(bytes_size); // at most kMaxL1Bytes, and in the file
    if (auto read = file.read(FileOffset{header.l1_offset}, bytes); !read) {
        return std::move(read).error().in("Could not read L1 table");
    }
    std::vector<u64> l1(header.l1_size);
    for (std::size_t i = 0; i < l1.size(); ++i) {
        l1[i] = load_be<u64>(bytes, i * sizeof(u64));
    }
    return l1;
}

Property describe_bitmaps(Bitmaps& bitmaps)
{
    using enum Property::Kind;
    Property all{.key = "bitmaps", .text = "", .kind = list};
    for (const BitmapInfo& b : bitmaps.list()) {
        Property flags{.key = "flags", .text = "", .kind = list};
        if (b.in_use) {
            flags.members.push_back({.key = "", .text = "in-use"});
        }
        if (b.automatic) {
            flags.members.push_back({.key = "", .text = "auto"});
        }
        Property one{.key = "", .text = "", .kind = object};
        one.members.push_back(std::move(flags));
        one.members.push_back({.key = "name", .text = b.name});
        one.members.push_back(
            {.key = "granularity", .text = std::to_string(b.granularity), .kind = number});
        all.members.push_back(std::move(one));
    }
    return all;
}

} // namespace

Result<Header> read_header(ByteSource& file)
{
    std::vector<u8> start(std::min<u64>(file.size(), kHeaderWithCodec));
    if (auto read = file.read(FileOffset{0}, start); !read) {
        return std::move(read).error().in("Could not read qcow2 header");
    }
    auto needed = header_bytes_needed(start);
    if (!needed) {
        return std::move(needed).error();
    }
    start.resize(std::min(file.size(), needed.value())); // at most a cluster of 2 MiB
    if (auto read = file.read(FileOffset{0}, start); !read) {
        return std::move(read).error().in("Could not read qcow2 header");
    }
    return parse_header(start);
}

Qcow2Image::Qcow2Image(std::unique_ptr<ByteSource> file, Header header, std::vector<u64> l1,
                       SnapshotTable snapshots)
    : file_{std::move(file)}, header_{std::move(header)}, geometry_{header_.geometry()},
      snapshots_{std::move(snapshots)}, l1_{std::move(l1)},
      l2_cache_{*file_, std::min(kSliceSize, geometry_.cluster_size()), kCachedSlices},
      refcounts_{*file_, header_, [this](u64 cluster) { return is_metadata(cluster); }}
{}

Qcow2Image::~Qcow2Image()
{
    if (!file_->read_only()) {
        if (bitmaps_) {
            (void)bitmaps_->store_marked(); // what cannot be stored stays marked as in use
        }
        (void)flush(); // whoever cares for the result has called flush() before
    }
}

Result<std::unique_ptr<Image>> Qcow2Image::open(std::unique_ptr<ByteSource> file,
                                                OpenContext& context)
{
    const OpenFor purpose = context.purpose;
    auto header = read_header(*file);
    if (!header) {
        return std::move(header).error();
    }
    if (auto good = check_open_options(context.options, header.value().geometry().cluster_size());
        !good) {
        return std::move(good).error();
    }
    const u64 features = header.value().incompatible_features;
    if (purpose == OpenFor::use && !file->read_only()) {
        if ((features & incompatible::corrupt) != 0) {
            return fail(Errc::corrupt, "qcow2: Image is corrupt; cannot be opened read/write");
        }
    }
    auto l1 = read_l1(*file, header.value());
    if (!l1) {
        return std::move(l1).error();
    }
    SnapshotRepair snapshot_repair;
    auto snapshots = read_snapshot_table(*file, header.value(),
                                         purpose == OpenFor::check ? &snapshot_repair : nullptr);
    if (!snapshots) {
        return std::move(snapshots).error();
    }
    if (purpose == OpenFor::use && !file->read_only() && (features & incompatible::dirty) != 0) {
        // Refcounts were left behind; they are made good before anything is allocated by them.
        // Nobody has asked for this repair, so nobody else would tell of it.
        auto repaired = check_file(
            *file, header.value(), snapshots.value(), Repair::all,
            [](const std::string& problem) { std::fprintf(stderr, "%s\n", problem.c_str()); });
        if (!repaired) {
            return std::move(repaired).error().in("repairing a dirty image");
        }
        if (repaired.value().corruptions != 0 || repaired.value().check_errors != 0) {
            return fail(Errc::corrupt, "qcow2: the image is dirty and could not be repaired");
        }
        return open(std::move(file), context);
    }
    std::unique_ptr<Qcow2Image> image{new Qcow2Image{std::move(file), std::move(header).value(),
                                                     std::move(l1).value(),
                                                     std::move(snapshots).value()}};
    image->snapshot_repair_ = std::move(snapshot_repair);
    if (purpose == OpenFor::use) {
        if (auto loaded = image->load_bitmaps(); !loaded) {
            return std::move(loaded).error();
        }
    }
    if (!image->file_->read_only()) {
        if (auto ready = image->prepare_for_writing(purpose); !ready) {
            return std::move(ready).error();
        }
    }
    return std::unique_ptr<Image>{std::move(image)};
}

Status Qcow2Image::prepare_for_writing(OpenFor purpose)
{
    // What we do not keep up to date we must not claim (qcow2.txt, "autoclear_features").
    const u64 kept = header_.autoclear_features & autoclear::bitmaps;
    if (header_.version >= 3 && header_.autoclear_features != kept) {
        header_.autoclear_features = kept;
        std::array<u8, 8> field{};
        base::store_be<u64>(field, 0, kept);
        if (auto done = file_->write(FileOffset{kFieldAutoclear}, field); !done) {
            return done;
        }
    }
    return purpose == OpenFor::check ? base::ok() : refcounts_.load();
}

Qcow2Image::ClusterKind Qcow2Image::kind_of(u64 l2_entry) const
{
    if ((l2_entry & entry::compressed) != 0) {
        return ClusterKind::compressed;
    }
    const bool has_offset = (l2_entry & entry::offset_mask) != 0;
    if (header_.version >= 3 && (l2_entry & entry::zero) != 0) {
        return has_offset ? ClusterKind::zero_reserved : ClusterKind::zero_plain;
    }
    return has_offset ? ClusterKind::data : ClusterKind::unallocated;
}

Status Qcow2Image::check_l1_entry(u64 l1_entry, u64 l1_index) const
{
    if ((l1_entry & entry::offset_mask & geometry_.within()) != 0) {
        return fail(Errc::corrupt, fmt::format("qcow2: L2 table offset {:#x} unaligned (L1 index: "
                                               "{:#x})",
                                               l1_entry & entry::offset_mask, l1_index));
    }
    return base::ok();
}

Status Qcow2Image::check_l2_entry(u64 l2_entry, u64 guest) const
{
    const bool compressed = (l2_entry & entry::compressed) != 0;
    if (!compressed && (l2_entry & entry::offset_mask & geometry_.within()) != 0) {
        return fail(Errc::corrupt, fmt::format("qcow2: Cluster allocation offset {:#x} unaligned "
                                               "(guest offset: {:#x})",
                                               l2_entry & entry::offset_mask, guest));
    }
    return base::ok();
}

Result<Qcow2Image::L2Place> Qcow2Image::l2_place(u64 guest) const
{
    const u64 l1_index = guest / geometry_.l2_reach();
    const u64 in_table = guest / geometry_.cluster_size() % geometry_.l2_entries();
    const u64 per_slice = l2_cache_.slice_size() / sizeof(u64);
    const u64 index = in_table % per_slice;
    const u64 table = l1_[l1_index] & entry::offset_mask; // l1_ covers the disk: parse_header
    if (table == 0) {
        return L2Place{0, index, geometry_.l2_entries() - in_table};
    }
    if (auto good = check_l1_entry(l1_[l1_index], l1_index); !good) {
        return std::move(good).error();
    }
    return L2Place{table + in_table / per_slice * l2_cache_.slice_size(), index, per_slice - index};
}

Result<u64> Qcow2Image::load_entry(const L2Place& at, u64 ahead)
{
    if (at.slice == 0) {
        return u64{0};
    }
    auto slice = l2_cache_.get(at.slice);
    if (!slice) {
        return std::move(slice).error().in("Could not read L2 table");
    }
    return load_be<u64>(slice.value(), (at.index + ahead) * sizeof(u64));
}

Result<Extent> Qcow2Image::map(GuestOffset from, u64 limit, MapDetail)
{
    if (from.bytes >= header_.size || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    limit = std::min(limit, header_.size - from.bytes);
    auto at = l2_place(from.bytes);
    if (!at) {
        return std::move(at).error();
    }
    const u64 cluster = geometry_.cluster_size();
    const u64 within = from.bytes & geometry_.within();
    if (at.value().slice == 0) {
        return Extent{.kind = Extent::Kind::backing,
                      .length = std::min(limit, at.value().left * cluster - within)};
    }
    auto first = load_entry(at.value(), 0);
    if (!first) {
        return std::move(first).error();
    }
    if (auto good = check_l2_entry(first.value(), from.bytes); !good) {
        return std::move(good).error();
    }
    const ClusterKind kind = kind_of(first.value());
    const u64 host = first.value() & entry::offset_mask;
    if (kind == ClusterKind::compressed) {
        const PackedRange range = packed_range(geometry_, first.value());
        return Extent{.kind = Extent::Kind::compressed,
                      .length = std::min(limit, cluster - within),
                      .packed = {.at = FileOffset{range.at},
                                 .packed_length = range.length,
                                 .block = GuestOffset{from.bytes - within},
                                 .block_length = cluster,
                                 .codec = header_.codec()}};
    }
    // The run goes on as long as the clusters are of one kind and lie side by side in the file.
    const bool has_offset = kind == ClusterKind::data || kind == ClusterKind::zero_reserved;
    u64 count = 1;
    while (count < at.value().left && count * cluster - within < limit) {
        auto next = load_entry(at.value(), count);
        if (!next) {
            return std::move(next).error();
        }
        if (kind_of(next.value()) != kind ||
            (has_offset && (next.value() & entry::offset_mask) != host + count * cluster)) {
            break;
        }
        ++count;
    }
    Extent extent{.kind = Extent::Kind::backing,
                  .length = std::min(limit, count * cluster - within)};
    if (kind != ClusterKind::unallocated) {
        extent.kind = kind == ClusterKind::data ? Extent::Kind::data : Extent::Kind::zero;
        extent.reserved = kind == ClusterKind::zero_reserved;
        extent.at = FileOffset{has_offset ? host + within : 0};
    }
    return extent;
}

std::optional<Image::Packing> Qcow2Image::packing() const
{
    return Packing{.block_size = geometry_.cluster_size(), .codec = header_.codec()};
}

ImageInfo Qcow2Image::info()
{
    const bool v3 = header_.version >= 3;
    const auto flag = [](bool on) { return std::string{on ? "true" : "false"}; };
    ImageInfo info{.format = "qcow2",
                   .size = header_.size,
                   .cluster_size = geometry_.cluster_size(),
                   .dirty = (header_.incompatible_features & incompatible::dirty) != 0,
                   .has_dirty_flag = true,
                   .backing_name = header_.backing_name,
                   .backing_format = header_.backing_format};
    using enum Property::Kind;
    info.specific.push_back({"compat", v3 ? "1.1" : "0.10", string});
    info.specific.push_back(
        {"compression-type", header_.codec() == Codec::zstd ? "zstd" : "zlib", string});
    if (v3) {
        info.specific.push_back(
            {"lazy-refcounts",
             flag((header_.compatible_features & compatible::lazy_refcounts) != 0), boolean});
    }
    if (bitmaps_ && !bitmaps_->empty()) {
        info.specific.push_back(describe_bitmaps(*bitmaps_));
    }
    info.specific.push_back({"refcount-bits", std::to_string(geometry_.refcount_bits()), number});
    if (v3) {
        info.specific.push_back({"corrupt",
                                 flag((header_.incompatible_features & incompatible::corrupt) != 0),
                                 boolean});
        info.specific.push_back({"extended-l2", flag(false), boolean});
    }
    for (const Snapshot& snapshot : snapshots_.snapshots) {
        info.snapshots.push_back(snapshot.info);
    }
    return info;
}

} // namespace img::qcow2
