#include "imgtool/formats/qcow/layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

namespace img::qcow {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

base::Status check(const Header& h)
{
    if (h.size <= 1) {
        return fail(Errc::corrupt, "Image size is too small (must be at least 2 bytes)");
    }
    if (h.cluster_bits < 9 || h.cluster_bits > 16) {
        return fail(Errc::corrupt, "Cluster size must be between 512 and 64k");
    }
    if (h.l2_bits < 9 - 3 || h.l2_bits > 16 - 3) {
        return fail(Errc::corrupt, "L2 table size must be between 512 and 64k");
    }
    if (h.crypt > crypt_method::aes) {
        return fail(Errc::unsupported, "invalid encryption method in qcow header");
    }
    if (h.size > static_cast<u64>(INT64_MAX) - h.l2_reach() || h.l1_entries() > kMaxL1Entries) {
        return fail(Errc::corrupt, "Image too large");
    }
    if (h.backing_offset != 0 && h.backing_length > kMaxBackingName) {
        return fail(Errc::corrupt, "Backing file name too long");
    }
    if (h.l1_offset < kHeaderSize || h.l1_offset > static_cast<u64>(INT64_MAX) / 2) {
        return fail(Errc::corrupt, fmt::format("L1 table offset {:#x} is invalid", h.l1_offset));
    }
    return base::ok();
}

} // namespace

bool has_magic(std::span<const u8> start)
{
    return start.size() >= 8 && load_be<u32>(start, 0) == kMagic && load_be<u32>(start, 4) == 1;
}

base::Result<Header> parse_header(std::span<const u8> start)
{
    if (start.size() < kHeaderSize || load_be<u32>(start, 0) != kMagic) {
        return fail(Errc::wrong_format, "Image not in qcow format");
    }
    if (load_be<u32>(start, 4) != 1) {
        return fail(Errc::wrong_format, fmt::format("qcow (v1) does not support qcow version {}",
                                                    load_be<u32>(start, 4)));
    }
    const Header h{.backing_offset = load_be<u64>(start, 8),
                   .backing_length = load_be<u32>(start, 16),
                   .size = load_be<u64>(start, 24),
                   .cluster_bits = start[32],
                   .l2_bits = start[33],
                   .crypt = load_be<u32>(start, 36),
                   .l1_offset = load_be<u64>(start, 40)};
    if (auto good = check(h); !good) {
        return std::move(good).error();
    }
    return h;
}

std::vector<u8> encode_header(const Header& h)
{
    std::vector<u8> out(kHeaderSize);
    store_be<u32>(out, 0, kMagic);
    store_be<u32>(out, 4, 1);
    store_be<u64>(out, 8, h.backing_offset);
    store_be<u32>(out, 16, h.backing_length); // the time at 20, of the backing file, is not used
    store_be<u64>(out, 24, h.size);
    out[32] = static_cast<u8>(h.cluster_bits);
    out[33] = static_cast<u8>(h.l2_bits);
    store_be<u32>(out, 36, h.crypt);
    store_be<u64>(out, 40, h.l1_offset);
    return out;
}

PackedRange packed_range(const Header& h, u64 l2_entry)
{
    const u32 shift = 63 - h.cluster_bits;
    return {l2_entry & ((u64{1} << shift) - 1), l2_entry >> shift & h.within()};
}

u64 packed_entry(const Header& h, PackedRange range)
{
    const u32 shift = 63 - h.cluster_bits;
    return range.at >> shift != 0 ? 0 : range.at | range.length << shift | kCompressed;
}

} // namespace img::qcow
