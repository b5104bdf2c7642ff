// Changing what an image was made with: its version, refcount width, lazy refcounts, size,
// passphrases and the name of its data file.
#include "imgtool/filter/sealed_io.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <unordered_set>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

constexpr std::string_view kEncryptPrefix = "encrypt.";

/// What amend is asked for; unset: to be left alone.
struct Wishes {
    std::optional<u32> version;
    std::optional<u64> size;
    std::optional<u32> refcount_bits;
    std::optional<bool> lazy_refcounts;
    std::optional<std::string> backing_name;
    std::optional<std::string> backing_format;
    std::optional<std::string> data_file;
    std::optional<bool> data_file_raw;
    CreateSettings encryption;
};

Status parse_version(Wishes& w, const std::string& value)
{
    if (value == "0.10" || value == "v2") {
        w.version = 2;
    } else if (value == "1.1" || value == "v3") {
        w.version = 3;
    } else {
        return fail(Errc::invalid_argument, "Unknown compatibility level " + value);
    }
    return base::ok();
}

Status parse_refcount_bits(Wishes& w, u64 bits)
{
    if (!std::has_single_bit(bits) || bits > 64) {
        return fail(Errc::invalid_argument,
                    "Refcount width must be a power of two and may not exceed 64 bits");
    }
    w.refcount_bits = static_cast<u32>(bits);
    return base::ok();
}

/// One setting, whose type was checked before.
Status take(Wishes& w, const std::string& name, const std::string& value)
{
    const u64 number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "compat") {
        return parse_version(w, value);
    }
    if (name == "refcount_bits") {
        return parse_refcount_bits(w, number);
    }
    if (name.starts_with(kEncryptPrefix)) {
        w.encryption.emplace_back(name, value);
    } else if (name == "size") {
        w.size = number;
    } else if (name == "lazy_refcounts") {
        w.lazy_refcounts = value == "on";
    } else if (name == "backing_file") {
        w.backing_name = value;
    } else if (name == "backing_fmt") {
        w.backing_format = value;
    } else if (name == "data_file") {
        w.data_file = value;
    } else if (name == "data_file_raw") {
        w.data_file_raw = value == "on";
    } else {
        return fail(Errc::unsupported, fmt::format("amending {} is not supported", name));
    }
    return base::ok();
}

/// What cannot be for an image like this one, before anything is changed.
Status check_wishes(const Wishes& w, const Header& header)
{
    if (!w.encryption.empty() && header.encryption == encryption_method::none) {
        return fail(Errc::invalid_argument,
                    "Can't amend encryption options - encryption not present");
    }
    if (!w.encryption.empty() && header.encryption != encryption_method::luks) {
        return fail(Errc::invalid_argument,
                    "Only LUKS encryption options can be amended for qcow2 with amend");
    }
    if (w.data_file && !header.has_data_file()) {
        return fail(Errc::invalid_argument,
                    "data-file can only be set for images that use an external data file");
    }
    if (w.data_file_raw.value_or(false) && !header.data_file_is_raw()) {
        return fail(Errc::invalid_argument, "data-file-raw cannot be set on existing images");
    }
    return base::ok();
}

} // namespace

Status Qcow2Image::amend(const CreateSettings& settings, OpenContext& context, bool force)
{
    Wishes w;
    for (const auto& [name, value] : settings) {
        if (auto taken = take(w, name, value); !taken) {
            return taken;
        }
    }
    if (auto good = check_wishes(w, header_); !good) {
        return good;
    }
    if (bitmaps_) {
        if (auto done = bitmaps_->store_marked(); !done) {
            return done;
        }
    }
    if (auto done = flush(); !done) {
        return done;
    }
    const u32 version = w.version.value_or(header_.version);
    if (version > header_.version) { // first: others may need it
        if (auto done = upgrade(); !done) {
            return done;
        }
    }
    if (!w.encryption.empty()) {
        const Header::Place place = header_.luks_place();
        auto done =
            crypto::amend_luks({*file_, place.at, place.length}, *encryption_.luks, encryption_.key,
                               w.encryption, kEncryptPrefix, context.secrets, force);
        if (!done) {
            return done;
        }
    }
    if (w.refcount_bits && *w.refcount_bits != geometry_.refcount_bits()) {
        if (version < 3 && *w.refcount_bits != 16) {
            return fail(Errc::invalid_argument,
                        "Refcount widths other than 16 bits require compatibility level 1.1 or "
                        "above (use compat=1.1 or greater)");
        }
        if (auto done = change_refcount_bits(*w.refcount_bits, context.progress); !done) {
            return done;
        }
    }
    if (w.data_file || w.data_file_raw) {
        auto done =
            amend_data_file(w.data_file, w.data_file_raw.value_or(header_.data_file_is_raw()));
        if (!done) {
            return done;
        }
    }
    const auto changes = [](const std::optional<std::string>& wish, const std::string& now) {
        return now.empty() ? wish.has_value() : wish != now; // what is not given counts as none
    };
    if ((w.backing_name || w.backing_format) &&
        (changes(w.backing_name, header_.backing_name) ||
         changes(w.backing_format, header_.backing_format))) {
        return fail(Errc::invalid_argument,
                    "Cannot amend the backing file\nYou can use 'qemu-img rebase' instead.");
    }
    const bool lazy = (header_.compatible_features & compatible::lazy_refcounts) != 0;
    if (w.lazy_refcounts.value_or(lazy) != lazy) {
        if (version < 3 && *w.lazy_refcounts) {
            return fail(Errc::invalid_argument,
                        "Lazy refcounts only supported with compatibility level 1.1 and above "
                        "(use compat=1.1 or greater)");
        }
        if (auto done = set_lazy_refcounts(*w.lazy_refcounts); !done) {
            return done;
        }
    }
    if (w.size) {
        if (auto done = resize(*w.size, Preallocate::none); !done) {
            return done;
        }
    }
    return version < header_.version ? downgrade(context.progress) : base::ok();
}

Status Qcow2Image::upgrade()
{
    Header header = header_;
    header.version = 3;
    header.refcount_order = 4;
    // Version 3 asks for extra data that snapshots of version 2 may lack.
    if (std::ranges::all_of(snapshots_.snapshots, &Snapshot::complete)) {
        return write_header(std::move(header));
    }
    auto all = snapshots_.snapshots;
    for (Snapshot& s : all) {
        s.complete = true;
    }
    if (auto done = store_snapshots(std::move(all), std::move(header)); !done) {
        return done;
    }
    return refcounts_.write_blocks();
}

/// Another name for the data file, which is not moved; or it need not be a raw image any more.
Status Qcow2Image::amend_data_file(const std::optional<std::string>& name, bool raw)
{
    Header header = header_;
    if (name) {
        std::erase_if(header.extensions,
                      [](const Extension& e) { return e.type == extension::data_file_name; });
        if (!name->empty()) {
            header.extensions.push_back(
                {extension::data_file_name, std::vector<u8>{name->begin(), name->end()}});
        }
    }
    header.autoclear_features &= ~autoclear::raw_data_file;
    header.autoclear_features |= raw ? autoclear::raw_data_file : 0;
    return write_header(std::move(header));
}

Status Qcow2Image::set_lazy_refcounts(bool on)
{
    Header header = header_;
    header.compatible_features &= ~compatible::lazy_refcounts;
    header.compatible_features |= on ? compatible::lazy_refcounts : 0;
    return write_header(std::move(header));
}

Status Qcow2Image::downgrade(const Progress& progress)
{
    if ((header_.incompatible_features & incompatible::data_file) != 0) {
        return fail(Errc::unsupported, "Cannot downgrade an image with a data file");
    }
    if (geometry_.refcount_bits() != 16) {
        return fail(Errc::invalid_argument, "compat=0.10 requires refcount_bits=16");
    }
    const auto needs_v3 = [this](const Snapshot& s) {
        return s.info.vm_state_size > ~u32{0} || s.info.disk_size != header_.size;
    };
    if (std::ranges::any_of(snapshots_.snapshots, needs_v3)) {
        return fail(Errc::unsupported, "Internal snapshots prevent downgrade of image");
    }
    if (header_.incompatible_features != 0) {
        return fail(Errc::unsupported,
                    fmt::format("Cannot downgrade an image with incompatible features {:#x} set",
                                header_.incompatible_features));
    }
    if (bitmaps_ && !bitmaps_->empty()) { // version 2 has no way to say that they are right
        for (const BitmapInfo& bitmap : bitmaps_->list()) {
            if (auto done = bitmaps_->remove(bitmap.name); !done) {
                return done;
            }
        }
    }
    if (auto done = expand_zeroes(progress); !done) {
        return std::move(done).error().in("Failed to turn zero into data clusters");
    }
    Header header = header_;
    header.version = 2;
    header.compatible_features = 0;
    header.autoclear_features = 0;
    return write_header(std::move(header));
}

/// Replaces all entries that read as zero, which version 2 does not have: by clusters of zeroes
/// where there is a backing file to hide, and else by nothing.
Status Qcow2Image::expand_zeroes(const Progress& progress)
{
    std::vector<std::vector<u64>> all{l1_.entries()};
    u64 total = l1_.size();
    for (const Snapshot& s : snapshots_.snapshots) {
        auto l1 = read_snapshot_l1(s);
        if (!l1) {
            return std::move(l1).error();
        }
        total += l1.value().size();
        all.push_back(std::move(l1).value());
    }
    l2_cache_.clear();
    packed_end_ = 0;
    std::unordered_set<u64> seen;
    PendingTables pending;
    std::vector<ClusterRun> freed;
    const auto settle = [&]() -> Status {
        if (auto done = settle_counts(); !done) {
            return done;
        }
        if (auto done = write_pending(pending); !done) {
            return done;
        }
        if (auto done = file_->flush(); !done) {
            return done;
        }
        for (const ClusterRun& run : std::exchange(freed, {})) {
            if (auto done = refcounts_.decrease(run); !done) {
                return mark_corrupt(std::move(done).error());
            }
        }
        return refcounts_.write_blocks();
    };
    u64 before = 0; // L1 entries of tables that are done
    u64 told = 0;
    const auto tell = [&](u64 upto) {
        while (progress && told < upto) {
            progress(++told, total);
        }
    };
    for (const auto& l1 : all) {
        auto done = visit_tables(l1, [&](u64 index, u64 at, std::span<u8> table) -> Status {
            tell(before + index + 1);
            if (!seen.insert(at).second) {
                return base::ok();
            }
            const std::vector<u8> old{table.begin(), table.end()};
            if (auto expanded = expand_table(index * geometry_.l2_reach(), at, table, freed);
                !expanded) {
                return expanded;
            }
            if (!std::ranges::equal(old, table)) {
                pending.add(at, table);
            }
            constexpr std::size_t kEnough = 1 << 20; // bytes
            return pending.bytes > kEnough || refcounts_.crowded() ? settle() : base::ok();
        });
        if (!done) {
            return done;
        }
        before += l1.size();
        tell(before);
    }
    return settle();
}

/// What reads as zero, for `guest`, in a new cluster. Nothing refers to it yet.
Status Qcow2Image::write_zero_cluster(u64 host, u64 guest)
{
    if (header_.encryption == encryption_method::none) {
        return file_->zero(FileOffset{host}, geometry_.cluster_size());
    }
    const Sealing sealing = sealing_at(host, guest);
    if (sealing.cipher == nullptr) {
        return fail(Errc::unsupported, "the image was opened without its key");
    }
    return write_sealed(*file_, FileOffset{host}, sealing,
                        std::vector<u8>(geometry_.cluster_size()));
}

/// `guest`: what the table begins with. Version 2, for which this is, has no extended entries.
Status Qcow2Image::expand_table(u64 guest, u64 at, std::span<u8> table,
                                std::vector<ClusterRun>& freed)
{
    auto sharers = refcounts_.get(at >> geometry_.cluster_bits);
    if (!sharers) {
        return std::move(sharers).error();
    }
    for (u64 i = 0; i < geometry_.l2_entries(); ++i, guest += geometry_.cluster_size()) {
        const L2Entry old = rules_.load(table, i);
        const ClusterKind kind = rules_.kind(old, 0);
        if (kind != ClusterKind::zero_plain && kind != ClusterKind::zero_reserved) {
            continue;
        }
        L2Entry now;
        if (!header_.backing_name.empty()) {
            auto run = refcounts_.allocate(1);
            if (!run) {
                return std::move(run).error();
            }
            const u64 host = run.value().first << geometry_.cluster_bits;
            auto done = write_zero_cluster(host, guest);
            if (done && sharers.value() > 1) {
                done = refcounts_.set(run.value().first, sharers.value());
            }
            if (!done) {
                return done;
            }
            now.word = host | (sharers.value() == 1 ? entry::copied : 0);
        }
        rules_.store(table, i, now);
        for (u64 n = 0; kind == ClusterKind::zero_reserved && n < sharers.value(); ++n) {
            freed.push_back(clusters_of(old));
        }
    }
    return base::ok();
}

/// Whether all counts are at most `max`; sets `end` behind the last cluster in use.
Status Qcow2Image::check_counts_fit(u64 max, u32 bits, u64& end)
{
    end = geometry_.clusters(file_->size());
    const u64 counted = refcounts_.table().size() * geometry_.refblock_entries();
    for (u64 cluster = 0; cluster < counted; ++cluster) {
        if (refcounts_.table()[cluster / geometry_.refblock_entries()] == 0) {
            cluster += geometry_.refblock_entries() - 1; // no block: all are free
            continue;
        }
        auto count = refcounts_.get(cluster);
        if (!count) {
            return std::move(count).error();
        }
        if (count.value() > max) {
            return fail(Errc::invalid_argument,
                        fmt::format("Cannot decrease refcount entry width to {} bits: Cluster at "
                                    "offset {:#x} has a refcount of {}",
                                    bits, cluster << geometry_.cluster_bits, count.value()));
        }
        if (count.value() != 0) {
            end = std::max(end, cluster + 1);
        }
    }
    return base::ok();
}

/// New structures beside the old ones, until the header's one write.
Status Qcow2Image::change_refcount_bits(u32 bits, const Progress& progress)
{
    Header header = header_;
    header.refcount_order = static_cast<u32>(std::countr_zero(bits));
    const Geometry geometry = header.geometry();
    u64 end = 0;
    if (auto good = check_counts_fit(geometry.refcount_max(), bits, end); !good) {
        return good;
    }
    const NewRefcounts plan = plan_refcounts(geometry, end);
    // Scripts know three steps, or more where the new counts have to count themselves: with each of
    // those the share that is done falls back.
    for (u64 round = 0; progress && round < plan.rounds; ++round) {
        progress(round, std::max<u64>(round + 2, 3));
        progress(round + 1, std::max<u64>(round + 2, 3));
    }
    const auto count_of = [&](u64 cluster) {
        if (progress && cluster % 4096 == 0) {
            progress(plan.rounds * end + cluster, (plan.rounds + 1) * end);
        }
        return refcounts_.get(cluster);
    };
    if (auto done = write_refcounts(*file_, geometry, plan, count_of); !done) {
        return done;
    }
    std::vector<u64> old = refcounts_.table().entries();
    const ClusterRun old_table = run_of(refcounts_.table_offset(), refcounts_.table_bytes());
    header.reftable_offset = plan.table_at(geometry);
    header.reftable_clusters = static_cast<u32>(plan.table_clusters);
    if (auto done = put_header(std::move(header)); !done) {
        return done;
    }
    geometry_ = header_.geometry();
    if (auto done = refcounts_.switch_to(header_); !done) {
        return done;
    }
    std::erase(old, u64{0});
    for (const u64 block : old) {
        if (auto done = refcounts_.decrease(run_of(block, 1)); !done) {
            return done;
        }
    }
    if (auto done = refcounts_.decrease(old_table); !done) {
        return done;
    }
    return refcounts_.write_blocks();
}

} // namespace img::qcow2
