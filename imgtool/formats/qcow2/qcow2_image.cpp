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
    std::vector<u8> bytes(u64{header.l1_size} * sizeof(u64)); // at most kMaxL1Bytes
    if (auto read = read_padded(file, FileOffset{header.l1_offset}, bytes); !read) {
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

Qcow2Image::Qcow2Image(std::unique_ptr<ByteSource> file, std::unique_ptr<ByteSource> data_file,
                       Header header, std::vector<u64> l1, SnapshotTable snapshots,
                       Encryption encryption)
    : file_{std::move(file)}, data_file_{std::move(data_file)}, header_{std::move(header)},
      geometry_{header_.geometry()}, rules_{header_}, snapshots_{std::move(snapshots)},
      encryption_{std::move(encryption)}, l1_{std::move(l1)},
      l2_cache_{*file_, std::min(kSliceSize, geometry_.cluster_size()), kCachedSlices},
      refcounts_{*file_, header_, [this](u64 cluster) { return is_metadata(cluster); }}
{
    l2_cache_.announce(DebugEvent::l2_load, DebugEvent::l2_update);
}

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
    if (purpose != OpenFor::check && header.value().reftable_clusters == 0) {
        return fail(Errc::corrupt, "Image does not contain a reference count table");
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
    auto data_file = open_data_file(header.value(), context);
    if (!data_file) {
        return std::move(data_file).error();
    }
    auto encryption = open_encryption(*file, header.value(), context);
    if (!encryption) {
        return std::move(encryption).error();
    }
    std::unique_ptr<Qcow2Image> image{new Qcow2Image{
        std::move(file), std::move(data_file).value(), std::move(header).value(),
        std::move(l1).value(), std::move(snapshots).value(), std::move(encryption).value()}};
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
    const u64 kept =
        header_.autoclear_features &
        (autoclear::bitmaps | (header_.has_data_file() ? autoclear::raw_data_file : 0));
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

Status Qcow2Image::check_l1_entry(u64 l1_entry, u64 l1_index) const
{
    if ((l1_entry & entry::offset_mask & geometry_.within()) != 0) {
        return fail(Errc::corrupt, fmt::format("qcow2: L2 table offset {:#x} unaligned (L1 index: "
                                               "{:#x})",
                                               l1_entry & entry::offset_mask, l1_index));
    }
    return base::ok();
}

Result<Qcow2Image::L2Place> Qcow2Image::l2_place(u64 guest) const
{
    const u64 l1_index = guest / geometry_.l2_reach();
    const u64 in_table = guest / geometry_.cluster_size() % geometry_.l2_entries();
    const u64 per_slice = l2_cache_.slice_size() / geometry_.l2_entry_size();
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

Result<L2Entry> Qcow2Image::load_entry(const L2Place& at, u64 ahead)
{
    if (at.slice == 0) {
        return L2Entry{};
    }
    auto slice = l2_cache_.get(at.slice);
    if (!slice) {
        return std::move(slice).error().in("Could not read L2 table");
    }
    return rules_.load(slice.value(), at.index + ahead);
}

Result<L2Entry> Qcow2Image::load_good_entry(const L2Place& at, u64 ahead, u64 guest)
{
    auto l2_entry = load_entry(at, ahead);
    if (l2_entry) {
        if (auto good = rules_.check(l2_entry.value(), guest & ~geometry_.within()); !good) {
            return std::move(good).error();
        }
    }
    return l2_entry;
}

Result<u64> Qcow2Image::run_length(const L2Place& at, u64 guest, u64 limit, bool own)
{
    auto slice = l2_cache_.get(at.slice);
    if (!slice) {
        return std::move(slice).error().in("Could not read L2 table");
    }
    const u64 cluster = geometry_.cluster_size();
    const u64 within = guest & geometry_.within();
    const u32 first_part = static_cast<u32>(within / geometry_.subcluster_size());
    const L2Entry first = rules_.load(slice.value(), at.index);
    const ClusterKind kind = rules_.kind(first, first_part);
    const bool somewhere = rules_.has_cluster(first);
    u64 end = (first_part + rules_.alike(first, first_part)) * geometry_.subcluster_size();
    for (u64 ahead = 1; end - within < limit && ahead < at.left && end == ahead * cluster;
         ++ahead) {
        const L2Entry next = rules_.load(slice.value(), at.index + ahead);
        const bool goes_on =
            rules_.kind(next, 0) == kind && rules_.has_cluster(next) == somewhere &&
            (!somewhere || rules_.cluster_at(next) == rules_.cluster_at(first) + ahead * cluster) &&
            (!own || rules_.owns_cluster(next)) &&
            rules_.check(next, guest - within + ahead * cluster);
        if (!goes_on) {
            break;
        }
        end += rules_.alike(next, 0) * geometry_.subcluster_size();
    }
    return std::min(end - within, limit);
}

Result<Extent> Qcow2Image::map(GuestOffset from, u64 limit, MapDetail detail)
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
    auto first = load_good_entry(at.value(), 0, from.bytes);
    if (!first) {
        return std::move(first).error();
    }
    const u32 part = static_cast<u32>(within / geometry_.subcluster_size());
    const ClusterKind kind = rules_.kind(first.value(), part);
    if (kind == ClusterKind::compressed) {
        const PackedRange range = packed_range(geometry_, first.value().word);
        return Extent{.kind = Extent::Kind::compressed,
                      .length = std::min(limit, cluster - within),
                      .packed = {.at = FileOffset{range.at},
                                 .packed_length = range.length,
                                 .block = GuestOffset{from.bytes - within},
                                 .block_length = cluster,
                                 .codec = header_.codec()}};
    }
    auto length = run_length(at.value(), from.bytes, limit, false);
    if (!length) {
        return std::move(length).error();
    }
    Extent extent{.kind = Extent::Kind::backing, .length = length.value()};
    if (rules_.has_cluster(first.value())) {
        extent.at = FileOffset{rules_.cluster_at(first.value()) + within};
        extent.reserved = is_reserved(kind);
        extent.in = data_file_.get();
    }
    if (kind == ClusterKind::zero_plain || kind == ClusterKind::zero_reserved) {
        extent.kind = Extent::Kind::zero;
    } else if (kind == ClusterKind::data) {
        if (header_.has_data_file() && !data_file_) {
            return fail(Errc::unsupported, "the image was opened without its data file");
        }
        extent.kind = Extent::Kind::data;
        extent.sealing = sealing_at(extent.at.bytes, from.bytes);
        const bool clear = header_.encryption == encryption_method::none;
        if (detail == MapDetail::exact && clear && !data_file_ && is_preallocated()) {
            if (auto looked = look_for_hole(extent); !looked) {
                return std::move(looked).error();
            }
        }
    }
    return extent;
}

/// Whether many clusters are in use that the host file system stores nothing of: then it pays to
/// ask it where it has holes. The threshold is the one by which QEMU decides, so that maps agree;
/// but tables, of which we leave empty parts to the host as holes, are not counted.
bool Qcow2Image::is_preallocated()
{
    constexpr u64 kMaxCounts = u64{1} << 24; // looked at; more would take too long
    if (!preallocated_) {
        preallocated_ = false;
        const u64 stored = file_->allocated() >> geometry_.cluster_bits;
        const u64 tables = 1 + geometry_.clusters(refcounts_.table_bytes()) +
                           geometry_.clusters(l1_.size() * sizeof(u64)) +
                           static_cast<u64>(std::ranges::count_if(
                               l1_.entries(), [](u64 e) { return (e & entry::offset_mask) != 0; }));
        const u64 threshold = std::max(stored * 10 / 9, stored + 2) + tables;
        const u64 clusters = std::min(geometry_.clusters(file_->size()), kMaxCounts);
        if (clusters >= threshold && (!refcounts_.table().empty() || refcounts_.load())) {
            u64 used = 0;
            for (u64 c = 0; c < clusters && used < threshold; ++c) {
                auto count = refcounts_.get(c);
                used += count && count.value() != 0 ? 1 : 0;
            }
            preallocated_ = used >= threshold;
        }
    }
    return *preallocated_;
}

/// Cuts an extent of data to the hole or the stored part that it begins with.
Status Qcow2Image::look_for_hole(Extent& extent)
{
    ByteSource& in = *file_;
    bool hole = true; // as all is that lies past the end
    if (extent.at.bytes < in.size()) {
        auto run = in.run_at(extent.at);
        if (!run) {
            return std::move(run).error();
        }
        hole = !run.value().data;
        const bool to_end = extent.at.bytes + run.value().length >= in.size();
        if (!to_end || !hole) {
            extent.length = std::min(extent.length, run.value().length);
        }
    }
    if (hole) {
        extent.kind = Extent::Kind::zero;
        extent.reserved = true;
        extent.stored = true;
    }
    return base::ok();
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
                   .subcluster_size = geometry_.extended_l2 ? geometry_.subcluster_size() : 0,
                   .dirty = (header_.incompatible_features & incompatible::dirty) != 0,
                   .has_dirty_flag = true,
                   .encrypted = header_.encryption != encryption_method::none,
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
    if (header_.encryption != encryption_method::none) {
        info.specific.push_back(describe_encryption(header_, encryption_));
    }
    if (header_.has_data_file()) {
        if (const std::string name = header_.data_file_name(); !name.empty()) {
            info.specific.push_back({"data-file", name, string});
        }
        info.specific.push_back({"data-file-raw", flag(header_.data_file_is_raw()), boolean});
    }
    if (v3) {
        info.specific.push_back({"corrupt",
                                 flag((header_.incompatible_features & incompatible::corrupt) != 0),
                                 boolean});
        info.specific.push_back({"extended-l2", flag(geometry_.extended_l2), boolean});
    }
    for (const Snapshot& snapshot : snapshots_.snapshots) {
        info.snapshots.push_back(snapshot.info);
    }
    return info;
}

} // namespace img::qcow2
