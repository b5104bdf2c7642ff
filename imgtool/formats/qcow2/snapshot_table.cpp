// The table of internal snapshots (qcow2.txt, "Snapshots").
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/layout.hpp"

#include <array>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;

constexpr std::size_t kFixedPart = 40; // bytes
constexpr u32 kMaxExtraData = 1024;    // bytes, as QEMU takes
constexpr std::size_t kMaxIdAndName = 2 * 65535;

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
}

} // namespace

base::Result<SnapshotTable> read_snapshot_table(ByteSource& file, const Header& header)
{
    SnapshotTable table;
    u64 at = header.snapshots_offset;
    for (u32 i = 0; i < header.snapshot_count; ++i) {
        at = (at + 7) & ~u64{7};
        std::array<u8, kFixedPart> fixed{};
        if (auto read = file.read(FileOffset{at}, fixed); !read) {
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
        if (extra_size > kMaxExtraData) {
            return fail(Errc::corrupt,
                        "Too much extra metadata in snapshot table entry " + std::to_string(i));
        }
        if ((s.l1_offset & header.geometry().within()) != 0 || s.l1_offset > entry::offset_mask ||
            u64{s.l1_size} * sizeof(u64) > kMaxL1Bytes) {
            return fail(Errc::corrupt, "Snapshot L1 table too large or misplaced");
        }
        static_assert(kMaxIdAndName + kMaxExtraData < (1 << 20)); // what one entry may take
        std::vector<u8> rest(extra_size + id_size + name_size);
        if (auto read = file.read(FileOffset{at + kFixedPart}, rest); !read) {
            return std::move(read).error().in("Could not read snapshots");
        }
        parse_extra(s, std::span{rest}.first(extra_size), header.size);
        s.info.id = text(std::span{rest}.subspan(extra_size, id_size));
        s.info.name = text(std::span{rest}.subspan(extra_size + id_size));
        at += kFixedPart + rest.size();
        if (at - header.snapshots_offset > kMaxSnapshotTableBytes) {
            return fail(Errc::corrupt, "Snapshot table too large");
        }
        table.snapshots.push_back(std::move(s));
    }
    table.bytes = header.snapshot_count == 0 ? 0 : at - header.snapshots_offset;
    return table;
}

} // namespace img::qcow2
