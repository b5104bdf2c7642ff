// The table of internal snapshots (qcow2.txt, "Snapshots").
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

constexpr std::size_t kFixedPart = 40;  // bytes
constexpr std::size_t kKnownExtra = 24; // bytes: state size, disk size, instruction count
constexpr std::size_t kMinExtra = 16;   // bytes that version 3 asks for
constexpr std::size_t kMaxIdAndName = 2 * 65535;
static_assert(kMaxIdAndName + kMaxSnapshotExtra < (1 << 20)); // what one entry may take

constexpr const char* kForceHint = "\nYou can force-remove {} with qemu-img check -r all";

std::string text(std::span<const u8> bytes)
{
    return {bytes.begin(), bytes.end()};
}

void parse_extra(Snapshot& s, std::span<const u8> extra, u64 disk_size)
{
    s.info.disk_size = extra.size() >= 16 ? load_be<u64>(extra, 8) : disk_size;
    if (extra.size() >= 8) {
        s.info.vm_state_size = load_be<u64>(extra, 0);
    }
    // All ones: the snapshot was taken without an instruction counter.
    if (extra.size() >= 24 && load_be<u64>(extra, 16) != ~u64{0}) {
        s.info.icount = load_be<u64>(extra, 16);
    }
    if (extra.size() > kKnownExtra) {
        s.unknown_extra.assign(extra.begin() + kKnownExtra, extra.end());
    }
    s.complete = extra.size() >= kMinExtra;
}

/// The reader of one table.
class Reader {
public:
    Reader(ByteSource& file, const Header& header, SnapshotRepair* repair)
        : file_{file}, header_{header}, repair_{repair}, at_{header.snapshots_offset}
    {}

    base::Result<SnapshotTable> run();

private:
    base::Result<bool> read_entry(u32 index);
    base::Status check_extra(u32 index, u32 extra_size);

    ByteSource& file_;
    const Header& header_;
    SnapshotRepair* repair_;
    u64 at_;
    u64 kept_ = 0; // bytes of the table without what is left out
    SnapshotTable table_;
};

base::Status Reader::check_extra(u32 index, u32 extra_size)
{
    if (extra_size <= kMaxSnapshotExtra) {
        return base::ok();
    }
    if (repair_ == nullptr) {
        return fail(Errc::corrupt,
                    fmt::format("Too much extra metadata in snapshot table entry {}", index) +
                        fmt::format(fmt::runtime(kForceHint), "this extra metadata"));
    }
    repair_->problems.push_back(
        fmt::format("Discarding too much extra metadata in snapshot table entry {} ({} > {})",
                    index, extra_size, kMaxSnapshotExtra));
    ++repair_->oversized;
    return base::ok();
}

/// False: the table is too long from here on.
base::Result<bool> Reader::read_entry(u32 index)
{
    at_ = (at_ + 7) & ~u64{7};
    std::array<u8, kFixedPart> fixed{};
    if (auto read = read_padded(file_, FileOffset{at_}, fixed); !read) {
        return std::move(read).error().in("Could not read snapshots");
    }
    Snapshot s{.l1_offset = load_be<u64>(fixed, 0), .l1_size = load_be<u32>(fixed, 8)};
    const std::size_t id_size = load_be<u16>(fixed, 12);
    const std::size_t name_size = load_be<u16>(fixed, 14);
    s.info.date_s = load_be<u32>(fixed, 16);
    s.info.date_ns = load_be<u32>(fixed, 20);
    s.info.vm_clock_ns = load_be<u64>(fixed, 24);
    s.info.vm_state_size = load_be<u32>(fixed, 32);
    const u32 extra_size = load_be<u32>(fixed, 36);
    if (auto good = check_extra(index, extra_size); !good) {
        return std::move(good).error();
    }
    const u32 kept = std::min(extra_size, kMaxSnapshotExtra);
    std::vector<u8> rest(kept + id_size + name_size);
    const auto extra = std::span{rest}.first(kept);
    const auto names = std::span{rest}.subspan(kept);
    const u64 extra_at = at_ + kFixedPart;
    for (const auto& [at, into] : {std::pair{extra_at, extra}, {extra_at + extra_size, names}}) {
        if (auto read = read_padded(file_, FileOffset{at}, into); !read) {
            return std::move(read).error().in("Could not read snapshots");
        }
    }
    parse_extra(s, extra, header_.size);
    s.info.id = text(names.first(id_size));
    s.info.name = text(names.subspan(id_size));
    at_ = extra_at + extra_size + names.size();
    // What is kept counts, not what is cut out of an entry.
    kept_ = ((kept_ + 7) & ~u64{7}) + kFixedPart + rest.size();
    if (kept_ > kMaxSnapshotTableBytes) {
        return false;
    }
    table_.bytes = at_ - header_.snapshots_offset;
    if (repair_ != nullptr && header_.version >= 3 && !s.complete) {
        repair_->incomplete.push_back(index);
    }
    table_.snapshots.push_back(std::move(s));
    return true;
}

base::Result<SnapshotTable> Reader::run()
{
    u32 count = header_.snapshot_count;
    if (count > kMaxSnapshots && repair_ == nullptr) {
        return fail(Errc::corrupt, "Snapshot table too large");
    }
    if (count > kMaxSnapshots) {
        repair_->discarded = count - kMaxSnapshots;
        repair_->problems.push_back(
            fmt::format("Discarding {} overhanging snapshots", repair_->discarded));
        count = kMaxSnapshots;
    }
    for (u32 i = 0; i < count; ++i) {
        auto fits = read_entry(i);
        if (!fits) {
            return std::move(fits).error();
        }
        if (fits.value()) {
            continue;
        }
        if (repair_ == nullptr) {
            return fail(Errc::corrupt,
                        "Snapshot table is too big" +
                            fmt::format(fmt::runtime(kForceHint),
                                        fmt::format("all {} overhanging snapshots", count - i)));
        }
        repair_->problems.push_back(fmt::format(
            "Discarding {} overhanging snapshots (snapshot table is too big)", count - i));
        repair_->discarded += count - i;
        break;
    }
    return std::move(table_);
}

void append(std::vector<u8>& out, std::string_view bytes)
{
    out.insert(out.end(), bytes.begin(), bytes.end());
}

} // namespace

base::Result<SnapshotTable> read_snapshot_table(ByteSource& file, const Header& header,
                                                SnapshotRepair* repair)
{
    return Reader{file, header, repair}.run();
}

std::vector<u8> encode_snapshot_table(const std::vector<Snapshot>& snapshots)
{
    std::vector<u8> out;
    for (const Snapshot& s : snapshots) {
        const std::size_t at = (out.size() + 7) & ~std::size_t{7};
        out.resize(at + kFixedPart + kKnownExtra);
        store_be<u64>(out, at, s.l1_offset);
        store_be<u32>(out, at + 8, s.l1_size);
        store_be<u16>(out, at + 12, static_cast<u16>(s.info.id.size()));
        store_be<u16>(out, at + 14, static_cast<u16>(s.info.name.size()));
        store_be<u32>(out, at + 16, s.info.date_s);
        store_be<u32>(out, at + 20, s.info.date_ns);
        store_be<u64>(out, at + 24, s.info.vm_clock_ns);
        // Where the state is too large for the old field, that is 0.
        const bool small = s.info.vm_state_size <= ~u32{0};
        store_be<u32>(out, at + 32, small ? static_cast<u32>(s.info.vm_state_size) : 0);
        store_be<u32>(out, at + 36, static_cast<u32>(kKnownExtra + s.unknown_extra.size()));
        store_be<u64>(out, at + kFixedPart, s.info.vm_state_size);
        store_be<u64>(out, at + kFixedPart + 8, s.info.disk_size);
        store_be<u64>(out, at + kFixedPart + 16, s.info.icount.value_or(~u64{0}));
        out.insert(out.end(), s.unknown_extra.begin(), s.unknown_extra.end());
        append(out, s.info.id);
        append(out, s.info.name);
    }
    return out;
}

base::Status check_snapshot_l1(const Geometry& geometry, const Snapshot& snapshot)
{
    if (u64{snapshot.l1_size} * sizeof(u64) > kMaxL1Bytes) {
        return fail(Errc::corrupt, "Snapshot L1 table too large");
    }
    if ((snapshot.l1_offset & geometry.within()) != 0 ||
        snapshot.l1_offset > static_cast<u64>(INT64_MAX) - kMaxL1Bytes) {
        return fail(Errc::corrupt, "Snapshot L1 table offset invalid");
    }
    return base::ok();
}

} // namespace img::qcow2
