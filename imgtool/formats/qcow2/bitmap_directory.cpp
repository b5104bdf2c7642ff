#include "imgtool/formats/qcow2/bitmap_directory.hpp"

#include "base/endian.hpp"

#include <algorithm>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

constexpr std::size_t kExtensionSize = 24; // bytes
constexpr std::size_t kFixedPart = 24;     // bytes of an entry
constexpr u8 kTypeDirty = 1;
constexpr u32 kMaxTableEntries = kMaxBitmapBytes >> kMinClusterBits;
constexpr u32 kKnownFlags = bitmap_flag::in_use | bitmap_flag::automatic;

base::Error bad(const char* what)
{
    return fail(Errc::corrupt, std::string{"Bitmap directory: "} + what);
}

u64 padded(u64 bytes)
{
    return (bytes + 7) & ~u64{7};
}

/// Reads the entry at `pos`, and moves on to the next.
Result<StoredBitmap> parse_entry(std::span<const u8> bytes, u64& pos, const Header& header)
{
    if (bytes.size() - pos < kFixedPart) {
        return bad("an entry is cut off");
    }
    const auto e = bytes.subspan(pos);
    StoredBitmap b{.table_offset = load_be<u64>(e, 0),
                   .table_size = load_be<u32>(e, 8),
                   .flags = load_be<u32>(e, 12),
                   .granularity_bits = e[17]};
    const u64 name_size = load_be<u16>(e, 18);
    const u64 extra_size = load_be<u32>(e, 20);
    if (kFixedPart + extra_size + name_size > e.size()) {
        return bad("an entry is cut off");
    }
    if (e[16] != kTypeDirty || (b.flags & ~kKnownFlags) != 0 || extra_size != 0) {
        return bad("an entry is of an unknown kind");
    }
    if (name_size == 0 || name_size > kMaxBitmapName || b.granularity_bits < kMinGranularityBits ||
        b.granularity_bits > kMaxGranularityBits) {
        return bad("an entry is invalid");
    }
    if (b.table_size > kMaxTableEntries || b.table_offset > entry::offset_mask ||
        (b.table_offset & header.geometry().within()) != 0) {
        return bad("a bitmap table is misplaced or too large");
    }
    const auto name = e.subspan(kFixedPart + extra_size, name_size);
    b.name.assign(name.begin(), name.end());
    pos += padded(kFixedPart + extra_size + name_size);
    return b;
}

} // namespace

u64 bitmap_bytes(u64 disk_size, u8 granularity_bits)
{
    const u64 bits =
        (disk_size >> granularity_bits) + ((disk_size & ((u64{1} << granularity_bits) - 1)) != 0);
    return (bits + 7) / 8;
}

Result<BitmapDirectory> read_bitmap_directory(ByteSource& file, const Header& header)
{
    const auto found = std::ranges::find(header.extensions, extension::bitmaps, &Extension::type);
    if (found == header.extensions.end() || header.version < 3 ||
        (header.autoclear_features & autoclear::bitmaps) == 0) {
        return BitmapDirectory{};
    }
    if (found->data.size() != kExtensionSize) {
        return bad("the header extension has a wrong length");
    }
    const u32 count = load_be<u32>(found->data, 0);
    BitmapDirectory directory{.at = load_be<u64>(found->data, 16),
                              .bytes = load_be<u64>(found->data, 8)};
    if (count == 0 || count > kMaxBitmaps || directory.bytes > kMaxBitmapDirectory ||
        directory.at > entry::offset_mask || (directory.at & header.geometry().within()) != 0 ||
        directory.at + directory.bytes > file.size()) {
        return bad("misplaced or too large");
    }
    std::vector<u8> bytes(directory.bytes); // bounded, and in the file
    if (auto read = file.read(FileOffset{directory.at}, bytes); !read) {
        return std::move(read).error().in("Could not read the bitmap directory");
    }
    u64 pos = 0;
    for (u32 i = 0; i < count; ++i) {
        const u64 at = directory.at + pos;
        auto bitmap = parse_entry(bytes, pos, header);
        if (!bitmap) {
            return std::move(bitmap).error();
        }
        bitmap.value().entry_offset = at;
        directory.bitmaps.push_back(std::move(bitmap).value());
        pos = std::min<u64>(pos, bytes.size());
    }
    return directory;
}

std::vector<u8> encode_bitmap_directory(std::vector<StoredBitmap>& bitmaps, u64 at)
{
    std::vector<u8> out;
    for (StoredBitmap& b : bitmaps) {
        const std::size_t pos = out.size();
        b.entry_offset = at + pos;
        out.resize(pos + padded(kFixedPart + b.name.size()));
        store_be<u64>(out, pos, b.table_offset);
        store_be<u32>(out, pos + 8, b.table_size);
        store_be<u32>(out, pos + 12, b.flags);
        out[pos + 16] = kTypeDirty;
        out[pos + 17] = b.granularity_bits;
        store_be<u16>(out, pos + 18, static_cast<u16>(b.name.size()));
        std::ranges::copy(b.name, out.begin() + static_cast<std::ptrdiff_t>(pos + kFixedPart));
    }
    return out;
}

void set_bitmap_extension(Header& header, const BitmapDirectory& directory)
{
    std::erase_if(header.extensions,
                  [](const Extension& e) { return e.type == extension::bitmaps; });
    header.autoclear_features &= ~autoclear::bitmaps;
    if (directory.bitmaps.empty()) {
        return;
    }
    std::vector<u8> data(kExtensionSize);
    store_be<u32>(data, 0, static_cast<u32>(directory.bitmaps.size()));
    store_be<u64>(data, 8, directory.bytes);
    store_be<u64>(data, 16, directory.at);
    header.extensions.push_back({extension::bitmaps, std::move(data)});
    header.autoclear_features |= autoclear::bitmaps;
}

} // namespace img::qcow2
