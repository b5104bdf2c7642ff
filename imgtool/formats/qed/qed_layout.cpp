#include "imgtool/formats/qed/qed_layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

namespace img::qed {

namespace {

using base::Errc;
using base::fail;
using base::load_le;
using base::store_le;

constexpr u32 kMagic = 0x0044'4551; // "QED\0"

Status check_header(const Header& h, u64 file_size)
{
    if ((h.features & ~feature::known) != 0) {
        return fail(Errc::unsupported,
                    fmt::format("Unsupported QED features: {:x}", h.features & ~feature::known));
    }
    if (!is_cluster_size(h.cluster_size)) {
        return fail(Errc::corrupt, "QED cluster size is invalid");
    }
    if (!is_table_size(h.table_size)) {
        return fail(Errc::corrupt, "QED table size is invalid");
    }
    if (h.size % 512 != 0 || h.size > max_size(h.cluster_size, h.table_size)) {
        return fail(Errc::corrupt, "QED image size is invalid");
    }
    if (h.l1_offset % h.cluster_size != 0 || h.l1_offset < h.data_at() || h.l1_offset > file_size ||
        h.table_bytes() > file_size - h.l1_offset) {
        return fail(Errc::corrupt, "QED table offset is invalid");
    }
    return base::ok();
}

} // namespace

bool has_signature(std::span<const u8> start)
{
    return start.size() >= kHeaderBytes && load_le<u32>(start, 0) == kMagic;
}

bool is_cluster_size(u64 bytes)
{
    return std::has_single_bit(bytes) && bytes >= kMinCluster && bytes <= kMaxCluster;
}

bool is_table_size(u64 clusters)
{
    return std::has_single_bit(clusters) && clusters <= kMaxTable;
}

u64 max_size(u64 cluster_size, u64 table_size)
{
    const u64 entries = cluster_size * table_size / sizeof(u64); // at most 2^27
    if (entries > static_cast<u64>(INT64_MAX) / (entries * cluster_size)) {
        return static_cast<u64>(INT64_MAX) / 512 * 512;
    }
    return entries * entries * cluster_size;
}

Result<Header> read_header(ByteSource& file)
{
    std::array<u8, kHeaderBytes> start{};
    if (auto read = read_padded(file, FileOffset{0}, start); !read) {
        return std::move(read).error().in("Failed to read QED header");
    }
    if (!has_signature(start)) {
        return fail(Errc::wrong_format, "Image not in QED format");
    }
    Header h;
    h.cluster_size = load_le<u32>(start, 4);
    h.table_size = load_le<u32>(start, 8);
    h.header_size = load_le<u32>(start, 12);
    h.features = load_le<u64>(start, 16);
    h.compat_features = load_le<u64>(start, 24);
    h.autoclear_features = load_le<u64>(start, 32);
    h.l1_offset = load_le<u64>(start, 40);
    h.size = load_le<u64>(start, 48);
    if (auto good = check_header(h, file.size()); !good) {
        return std::move(good).error();
    }
    if ((h.features & feature::backing_file) != 0) {
        const u64 at = load_le<u32>(start, 56);
        const u64 length = load_le<u32>(start, 60);
        if (at + length > h.data_at()) {
            return fail(Errc::corrupt, "QED backing filename offset is invalid");
        }
        if (length > kMaxBackingName) {
            return fail(Errc::corrupt, "Failed to read backing filename: it is too long");
        }
        h.backing_at = at;
        h.backing_name.resize(length);
        const std::span<u8> into{reinterpret_cast<u8*>(h.backing_name.data()), length};
        if (auto read = file.read(FileOffset{at}, into); !read) {
            return std::move(read).error().in("Failed to read backing filename");
        }
    }
    return h;
}

std::vector<u8> encode_header(const Header& h)
{
    const bool name_follows = h.backing_at == kHeaderBytes;
    std::vector<u8> bytes(kHeaderBytes + (name_follows ? h.backing_name.size() : 0));
    store_le<u32>(bytes, 0, kMagic);
    store_le<u32>(bytes, 4, static_cast<u32>(h.cluster_size));
    store_le<u32>(bytes, 8, static_cast<u32>(h.table_size));
    store_le<u32>(bytes, 12, static_cast<u32>(h.header_size));
    store_le<u64>(bytes, 16, h.features);
    store_le<u64>(bytes, 24, h.compat_features);
    store_le<u64>(bytes, 32, h.autoclear_features);
    store_le<u64>(bytes, 40, h.l1_offset);
    store_le<u64>(bytes, 48, h.size);
    if (h.backing_at != 0) {
        store_le<u32>(bytes, 56, static_cast<u32>(h.backing_at));
        store_le<u32>(bytes, 60, static_cast<u32>(h.backing_name.size()));
    }
    if (name_follows) {
        std::ranges::copy(h.backing_name, bytes.begin() + kHeaderBytes);
    }
    return bytes;
}

Status set_backing_name(Header& h, const std::string& name, const std::string& format)
{
    if (name.size() > kMaxBackingName || kHeaderBytes + name.size() > h.data_at()) {
        return fail(Errc::invalid_argument, "Backing file name too long");
    }
    h.backing_name = name;
    h.backing_at = name.empty() ? 0 : kHeaderBytes;
    h.features &= ~(feature::backing_file | feature::backing_is_raw);
    if (!name.empty()) {
        h.features |= feature::backing_file;
        h.features |= format == "raw" ? feature::backing_is_raw : 0;
    }
    return base::ok();
}

} // namespace img::qed
