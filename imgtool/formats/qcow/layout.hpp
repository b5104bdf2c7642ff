// The on-disk structures of qcow, version 1, and their checks.
//
// Source: "The QCOW Image Format", Mark McLoughlin, 2006 (its section "Version 1" and those on the
// tables that versions 1 and 2 share). All numbers are big-endian. There are no reference counts:
// new clusters go to the end of the file, and what nothing refers to any more is never used again.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "imgtool/image.hpp"

#include <span>
#include <string>
#include <vector>

namespace img::qcow {

using base::u32;
using base::u64;
using base::u8;

inline constexpr u32 kMagic = 0x5146'49fb;                         // "QFI\xfb"
inline constexpr std::size_t kHeaderSize = 48;                     // bytes
inline constexpr u32 kMaxBackingName = 1023;                       // bytes
inline constexpr u64 kMaxL1Entries = u64{INT32_MAX} / sizeof(u64); // what QEMU takes too

/// Header field "crypt_method".
namespace crypt_method {
inline constexpr u32 none = 0;
inline constexpr u32 aes = 1;
} // namespace crypt_method

/// Bit of an L2 entry: the cluster is compressed. Its size and place share the other bits.
inline constexpr u64 kCompressed = u64{1} << 63;

struct Header {
    u64 backing_offset = 0; // of the name in the file
    u32 backing_length = 0; // bytes
    u64 size = 0;           // bytes of the virtual disk
    u32 cluster_bits = 12;
    u32 l2_bits = 9;
    u32 crypt = crypt_method::none;
    u64 l1_offset = 0;

    u64 cluster_size() const { return u64{1} << cluster_bits; }
    u64 within() const { return cluster_size() - 1; } // mask
    u64 l2_entries() const { return u64{1} << l2_bits; }
    u64 l2_bytes() const { return l2_entries() * sizeof(u64); }
    u64 l2_reach() const { return u64{1} << (cluster_bits + l2_bits); } // guest bytes of a table
    u64 l1_entries() const { return size / l2_reach() + (size % l2_reach() != 0); }
    u64 l1_end() const { return l1_offset + l1_entries() * sizeof(u64); }
};

bool has_magic(std::span<const u8> start);

/// Parses and checks the first kHeaderSize bytes. Errors: `wrong_format`, `corrupt`, `unsupported`.
base::Result<Header> parse_header(std::span<const u8> start);
std::vector<u8> encode_header(const Header& header);

/// Where the bytes of a compressed cluster are.
struct PackedRange {
    u64 at;
    u64 length;
};
PackedRange packed_range(const Header& header, u64 l2_entry);
/// The entry for one, or 0 when it lies too far in the file to be told.
u64 packed_entry(const Header& header, PackedRange range);

} // namespace img::qcow
