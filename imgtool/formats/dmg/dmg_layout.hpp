// The structures of Apple disk images.
//
// Sources: J. Levin, "Demystifying the DMG file format" (newosxbook.com/DMG.html): the trailer
// ("koly") and the block tables ("mish"); Apple, "Inside Macintosh: More Macintosh Toolbox",
// chapter 1, "Resource File Format". All numbers are big-endian.
#pragma once

#include "imgtool/image.hpp"

#include <span>
#include <string_view>
#include <vector>

namespace img::dmg {

inline constexpr u64 kSector = 512;                 // bytes
inline constexpr std::size_t kTrailerSize = 512;    // bytes
inline constexpr std::size_t kTrailerWindow = 1023; // bytes at the file's end it may begin in
inline constexpr u64 kMaxChunk = u64{64} << 20;     // bytes, packed or not; QEMU's limit too
inline constexpr u64 kMaxTables = u64{16} << 20;    // bytes of property list or resource fork
inline constexpr u64 kMaxDisk = u64{1} << 54;       // sectors

struct Range {
    u64 at = 0; // bytes
    u64 length = 0;
};

/// The trailer, "koly".
struct Trailer {
    Range data_fork;
    Range resource_fork;
    Range property_list;
    u64 sectors = 0; // of the disk
};

/// A piece of the disk.
struct Chunk {
    enum class Kind : u8 { zero, raw, packed } kind = Kind::zero;
    Codec codec = Codec::zlib;
    u64 sector = 0; // on the disk
    u64 sectors = 0;
    u64 at = 0;     // bytes, in the file
    u64 length = 0; // likewise

    u64 end() const { return sector + sectors; }
};

/// Parses and checks a trailer, which must lie before `file_size`. Error: `corrupt`.
Result<Trailer> parse_trailer(std::span<const u8> bytes, u64 at);

/// Adds the chunks of a block table to `chunks`; bytes that are none add nothing. Errors:
/// `corrupt`, `unsupported`.
Status parse_block_table(std::span<const u8> bytes, const Trailer& trailer,
                         std::vector<Chunk>& chunks);

/// The bytes of all <data> elements of a property list. Error: `corrupt`.
Result<std::vector<std::vector<u8>>> property_list_data(std::string_view text);

/// The resources in a resource fork. Error: `corrupt`.
Result<std::vector<std::span<const u8>>> resources(std::span<const u8> fork);

} // namespace img::dmg
