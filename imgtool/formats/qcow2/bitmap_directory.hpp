// The directory of persistent dirty bitmaps (qcow2.txt, "Bitmaps").
#pragma once

#include "imgtool/formats/qcow2/layout.hpp"

#include <string>
#include <vector>

namespace img::qcow2 {

inline constexpr u32 kMaxBitmaps = 65535;
inline constexpr u64 kMaxBitmapDirectory = u64{64} << 20; // bytes
inline constexpr u64 kMaxBitmapBytes = u64{512} << 20;    // of one bitmap, as QEMU takes
inline constexpr u32 kMinGranularityBits = 9;
inline constexpr u32 kMaxGranularityBits = 31;
inline constexpr std::size_t kMaxBitmapName = 1023; // bytes

namespace bitmap_flag {
inline constexpr u32 in_use = 1 << 0;
inline constexpr u32 automatic = 1 << 1;
} // namespace bitmap_flag

/// One entry of the directory.
struct StoredBitmap {
    u64 table_offset = 0;
    u32 table_size = 0; // entries
    u32 flags = 0;
    u8 granularity_bits = 16;
    std::string name = {};
    u64 entry_offset = 0; // of the entry in the file; 0: not written yet

    u64 granularity() const { return u64{1} << granularity_bits; }
    bool usable() const { return (flags & bitmap_flag::in_use) == 0; }
};

/// Bytes of a bitmap for a disk.
u64 bitmap_bytes(u64 disk_size, u8 granularity_bits);

struct BitmapDirectory {
    std::vector<StoredBitmap> bitmaps = {};
    u64 at = 0;
    u64 bytes = 0; // in the file
};

/// The directory that the header's extension names; empty where there is none, or where the
/// autoclear bit says that it cannot be relied on. Errors: `corrupt`.
Result<BitmapDirectory> read_bitmap_directory(ByteSource& file, const Header& header);
/// The bytes of a directory; sets `entry_offset` as if it lay at `at` in the file.
std::vector<u8> encode_bitmap_directory(std::vector<StoredBitmap>& bitmaps, u64 at);

/// Makes the header name a directory, or none when it is empty.
void set_bitmap_extension(Header& header, const BitmapDirectory& directory);

} // namespace img::qcow2
