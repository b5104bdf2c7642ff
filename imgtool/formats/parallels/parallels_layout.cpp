#include "imgtool/formats/parallels/parallels_layout.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <string_view>

namespace img::parallels {

namespace {

using base::Errc;
using base::fail;
using base::load_le;
using base::store_le;

constexpr std::string_view kMagic = "WithoutFreeSpace";
constexpr std::string_view kMagicExtended = "WithouFreSpacExt";
constexpr u32 kVersion = 2;
constexpr u64 kMagicExtension = 0xab23'4cef'23dc'ea87;

/// Where the fields are in the file.
namespace field {
constexpr std::size_t version = 16, heads = 20, cylinders = 24, tracks = 28, entries = 32,
                      sectors = 36, in_use = kFieldInUse, data_off = 48, flags = 52,
                      extension = kFieldExtension;
}

bool begins_with(std::span<const u8> start, std::string_view text)
{
    return start.size() >= text.size() && std::equal(text.begin(), text.end(), start.begin());
}

} // namespace

bool has_signature(std::span<const u8> start)
{
    return start.size() >= kHeaderBytes &&
           (begins_with(start, kMagic) || begins_with(start, kMagicExtended)) &&
           load_le<u32>(start, field::version) == kVersion;
}

Result<Header> parse_header(std::span<const u8> start, u64 file_size)
{
    if (!has_signature(start)) {
        return fail(Errc::wrong_format, "Image not in Parallels format");
    }
    Header h;
    h.extended = begins_with(start, kMagicExtended);
    h.heads = load_le<u32>(start, field::heads);
    h.cylinders = load_le<u32>(start, field::cylinders);
    h.tracks = load_le<u32>(start, field::tracks);
    h.entries = load_le<u32>(start, field::entries);
    h.sectors = load_le<u64>(start, field::sectors);
    h.in_use = load_le<u32>(start, field::in_use);
    h.data_off = load_le<u32>(start, field::data_off);
    h.flags = load_le<u32>(start, field::flags);
    h.extension = load_le<u64>(start, field::extension);
    if (!h.extended) {
        h.sectors &= 0xffff'ffff; // "Only the lowest 4 bytes are used"
    }
    if (h.tracks == 0) {
        return fail(Errc::corrupt, "Invalid image: Zero sectors per track");
    }
    if (h.tracks > kMaxTracks) {
        return fail(Errc::corrupt, "Invalid image: Too big cluster");
    }
    if (h.entries > kMaxEntries) {
        return fail(Errc::corrupt, "Catalog too large");
    }
    if (h.table_end() > file_size) {
        return fail(Errc::corrupt, "the block table of the Parallels image ends past the file");
    }
    if (h.sectors > static_cast<u64>(INT64_MAX) / kSector) {
        return fail(Errc::corrupt, "Could not refresh total sector count: File too large");
    }
    return h;
}

std::array<u8, kHeaderBytes> encode_header(const Header& h)
{
    std::array<u8, kHeaderBytes> start{};
    std::ranges::copy(h.extended ? kMagicExtended : kMagic, start.begin());
    store_le<u32>(start, field::version, h.version);
    store_le<u32>(start, field::heads, h.heads);
    store_le<u32>(start, field::cylinders, h.cylinders);
    store_le<u32>(start, field::tracks, h.tracks);
    store_le<u32>(start, field::entries, h.entries);
    store_le<u64>(start, field::sectors, h.sectors);
    store_le<u32>(start, field::in_use, h.in_use);
    store_le<u32>(start, field::data_off, h.data_off);
    store_le<u32>(start, field::flags, h.flags);
    store_le<u64>(start, field::extension, h.extension);
    return start;
}

Result<Extension> parse_extension(std::span<const u8> cluster)
{
    constexpr std::size_t kStart = 24;   // magic and checksum
    constexpr std::size_t kSection = 24; // magic, flags, size and padding
    constexpr u64 kNecessary = 1;
    constexpr u64 kTransit = 2;
    if (cluster.size() < kStart || load_le<u64>(cluster, 0) != kMagicExtension) {
        return fail(Errc::corrupt, "the Format Extension has no signature");
    }
    Extension extension{.transit = true};
    std::size_t at = kStart;
    while (at + kSection <= cluster.size()) {
        if (load_le<u64>(cluster, at) == 0) {
            return extension; // "End of features"
        }
        const u64 flags = load_le<u64>(cluster, at + 8);
        extension.necessary |= (flags & kNecessary) != 0;
        extension.transit &= (flags & kTransit) != 0;
        const u64 size = load_le<u32>(cluster, at + 16);
        at += kSection + (size + 7) / 8 * 8; // no overflow: at most 2^32 more each time
    }
    return fail(Errc::corrupt, "the Format Extension has no end");
}

} // namespace img::parallels
