#include "imgtool/formats/vpc/layout.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/shared/parent_path.hpp"
#include "imgtool/unicode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <string_view>

namespace img::vpc {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

constexpr std::string_view kFooterCookie = "conectix";
constexpr std::string_view kHeaderCookie = "cxsparse";
constexpr u32 kVersion = 0x0001'0000;

// Byte offsets within the footer.
constexpr std::size_t kFooterFeatures = 8;
constexpr std::size_t kFooterVersion = 12;
constexpr std::size_t kFooterDataOffset = 16;
constexpr std::size_t kFooterTimestamp = 24;
constexpr std::size_t kFooterCreator = 28;
constexpr std::size_t kFooterCreatorVersion = 32;
constexpr std::size_t kFooterCreatorHost = 36;
constexpr std::size_t kFooterOriginalSize = 40;
constexpr std::size_t kFooterCurrentSize = 48;
constexpr std::size_t kFooterGeometry = 56;
constexpr std::size_t kFooterDiskType = 60;
constexpr std::size_t kFooterChecksum = 64;
constexpr std::size_t kFooterUuid = 68;

// Byte offsets within the dynamic disk header.
constexpr std::size_t kHeaderDataOffset = 8;
constexpr std::size_t kHeaderTableOffset = 16;
constexpr std::size_t kHeaderVersion = 24;
constexpr std::size_t kHeaderMaxTableEntries = 28;
constexpr std::size_t kHeaderBlockSize = 32;
constexpr std::size_t kHeaderChecksum = 36;
constexpr std::size_t kHeaderParentUuid = 40;
constexpr std::size_t kHeaderParentTime = 56;
constexpr std::size_t kHeaderParentName = 64;
constexpr std::size_t kHeaderLocators = 576;
constexpr std::size_t kParentNameSize = 512; // bytes, UTF-16
constexpr std::size_t kLocatorSize = 24;     // bytes

bool starts_with(std::span<const u8> bytes, std::string_view cookie)
{
    return bytes.size() >= cookie.size() &&
           std::ranges::equal(bytes.first(cookie.size()), cookie,
                              [](u8 byte, char c) { return byte == static_cast<u8>(c); });
}

void store_text(std::span<u8> bytes, std::size_t at, std::string_view text)
{
    std::ranges::copy(text, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/// The path of a file URL (RFC 8089); "file://./a.vhd" is what some tools write for a relative one.
std::string from_url(std::string_view url)
{
    constexpr std::string_view kScheme = "file://";
    if (!url.starts_with(kScheme)) {
        return {};
    }
    url.remove_prefix(kScheme.size());
    if (url.starts_with("localhost/")) {
        url.remove_prefix(9);
    }
    std::string path;
    for (std::size_t i = 0; i < url.size() && url[i] != '\0'; ++i) {
        const int high = i + 2 < url.size() ? hex_digit(url[i + 1]) : -1;
        const int low = i + 2 < url.size() ? hex_digit(url[i + 2]) : -1;
        if (url[i] == '%' && high >= 0 && low >= 0) {
            path += static_cast<char>(high * 16 + low);
            i += 2;
        } else {
            path += url[i];
        }
    }
    return path.starts_with("./") ? path.substr(2) : path;
}

} // namespace

Geometry geometry_for(u64 sectors)
{
    // VHD 1.0, "Appendix: CHS Calculation".
    if (sectors >= u64{65535} * 16 * 255) {
        return kLargestGeometry;
    }
    u64 per_track = 0;
    u64 heads = 0;
    u64 tracks = 0; // cylinders times heads
    if (sectors >= u64{65535} * 16 * 63) {
        per_track = 255;
        heads = 16;
        tracks = sectors / per_track;
    } else {
        per_track = 17;
        tracks = sectors / per_track;
        heads = std::max<u64>(4, (tracks + 1023) / 1024);
        if (tracks >= heads * 1024 || heads > 16) {
            per_track = 31;
            heads = 16;
            tracks = sectors / per_track;
        }
        if (tracks >= heads * 1024) {
            per_track = 63;
            heads = 16;
            tracks = sectors / per_track;
        }
    }
    return {static_cast<u16>(tracks / heads), static_cast<u8>(heads), static_cast<u8>(per_track)};
}

u32 checksum(std::span<const u8> structure, std::size_t checksum_field)
{
    u32 sum = 0;
    for (std::size_t i = 0; i < structure.size(); ++i) {
        const bool in_field = i >= checksum_field && i < checksum_field + sizeof(u32);
        sum += in_field ? 0 : structure[i];
    }
    return ~sum;
}

bool has_footer_cookie(std::span<const u8> bytes)
{
    return starts_with(bytes, kFooterCookie);
}

Result<Footer> parse_footer(std::span<const u8, kFooterSize> bytes)
{
    if (!has_footer_cookie(bytes)) {
        return fail(Errc::wrong_format, "invalid VPC image");
    }
    if (load_be<u32>(bytes, kFooterChecksum) != checksum(bytes, kFooterChecksum)) {
        return fail(Errc::corrupt, "Incorrect header checksum");
    }
    const u32 type = load_be<u32>(bytes, kFooterDiskType);
    if (type < 2 || type > 4) {
        return fail(Errc::corrupt, fmt::format("Unknown disk type {}", type));
    }
    Footer footer{.header_offset = load_be<u64>(bytes, kFooterDataOffset),
                  .timestamp = load_be<u32>(bytes, kFooterTimestamp),
                  .size = load_be<u64>(bytes, kFooterCurrentSize),
                  .geometry = {load_be<u16>(bytes, kFooterGeometry), bytes[kFooterGeometry + 2],
                               bytes[kFooterGeometry + 3]},
                  .type = DiskType{type}};
    std::copy_n(bytes.begin() + kFooterCreator, 4, footer.creator.begin());
    std::copy_n(bytes.begin() + kFooterUuid, 16, footer.uuid.begin());
    return footer;
}

std::array<u8, kFooterSize> encode_footer(const Footer& footer)
{
    std::array<u8, kFooterSize> bytes{};
    store_text(bytes, 0, kFooterCookie);
    store_be<u32>(bytes, kFooterFeatures, 2); // "Reserved": must always be set
    store_be<u32>(bytes, kFooterVersion, kVersion);
    store_be<u64>(bytes, kFooterDataOffset, footer.header_offset);
    store_be<u32>(bytes, kFooterTimestamp, footer.timestamp);
    store_text(bytes, kFooterCreator, {footer.creator.data(), footer.creator.size()});
    store_be<u32>(bytes, kFooterCreatorVersion, 0x0005'0003);
    store_text(bytes, kFooterCreatorHost, "Wi2k");
    store_be<u64>(bytes, kFooterOriginalSize, footer.size);
    store_be<u64>(bytes, kFooterCurrentSize, footer.size);
    store_be<u16>(bytes, kFooterGeometry, footer.geometry.cylinders);
    bytes[kFooterGeometry + 2] = footer.geometry.heads;
    bytes[kFooterGeometry + 3] = footer.geometry.sectors;
    store_be<u32>(bytes, kFooterDiskType, static_cast<u32>(footer.type));
    std::ranges::copy(footer.uuid, bytes.begin() + kFooterUuid);
    store_be<u32>(bytes, kFooterChecksum, checksum(bytes, kFooterChecksum));
    return bytes;
}

Result<DynamicHeader> parse_dynamic_header(std::span<const u8, kDynamicHeaderSize> bytes)
{
    if (!starts_with(bytes, kHeaderCookie)) {
        return fail(Errc::corrupt, "Invalid header magic");
    }
    const u32 block_size = load_be<u32>(bytes, kHeaderBlockSize);
    if (!std::has_single_bit(block_size) || block_size < kSectorSize) {
        return fail(Errc::corrupt, fmt::format("Invalid block size {}", block_size));
    }
    DynamicHeader header{.table_offset = load_be<u64>(bytes, kHeaderTableOffset),
                         .table_entries = load_be<u32>(bytes, kHeaderMaxTableEntries),
                         .block_size = block_size,
                         .parent_timestamp = load_be<u32>(bytes, kHeaderParentTime),
                         .parent_name =
                             utf8_of_be(bytes.subspan(kHeaderParentName, kParentNameSize))};
    std::copy_n(bytes.begin() + kHeaderParentUuid, 16, header.parent_uuid.begin());
    for (std::size_t i = 0; i < kLocators; ++i) {
        const std::size_t at = kHeaderLocators + i * kLocatorSize;
        header.locators[i] = {load_be<u32>(bytes, at), load_be<u32>(bytes, at + 4),
                              load_be<u32>(bytes, at + 8), load_be<u64>(bytes, at + 16)};
    }
    return header;
}

std::array<u8, kDynamicHeaderSize> encode_dynamic_header(const DynamicHeader& header)
{
    std::array<u8, kDynamicHeaderSize> bytes{};
    store_text(bytes, 0, kHeaderCookie);
    store_be<u64>(bytes, kHeaderDataOffset, kNoOffset);
    store_be<u64>(bytes, kHeaderTableOffset, header.table_offset);
    store_be<u32>(bytes, kHeaderVersion, kVersion);
    store_be<u32>(bytes, kHeaderMaxTableEntries, header.table_entries);
    store_be<u32>(bytes, kHeaderBlockSize, header.block_size);
    std::ranges::copy(header.parent_uuid, bytes.begin() + kHeaderParentUuid);
    store_be<u32>(bytes, kHeaderParentTime, header.parent_timestamp);
    const std::vector<u16> name = to_utf16(header.parent_name);
    for (std::size_t i = 0; i < std::min(name.size(), kParentNameSize / 2 - 1); ++i) {
        store_be<u16>(bytes, kHeaderParentName + 2 * i, name[i]);
    }
    for (std::size_t i = 0; i < kLocators; ++i) {
        const std::size_t at = kHeaderLocators + i * kLocatorSize;
        store_be<u32>(bytes, at, header.locators[i].code);
        store_be<u32>(bytes, at + 4, header.locators[i].space);
        store_be<u32>(bytes, at + 8, header.locators[i].length);
        store_be<u64>(bytes, at + 16, header.locators[i].offset);
    }
    store_be<u32>(bytes, kHeaderChecksum, checksum(bytes, kHeaderChecksum));
    return bytes;
}

std::string parent_path(u32 code, std::span<const u8> bytes)
{
    switch (code) {
    case platform::relative:
    case platform::absolute:
        return from_windows(utf8_of_le(bytes));
    case platform::url:
        return from_url({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    default:
        return {};
    }
}

std::vector<u8> locator_bytes(u32 code, const std::string& path)
{
    const bool relative = !path.starts_with('/');
    if (code == platform::url) {
        std::string url = relative ? "file://./" : "file://";
        for (const char c : path) {
            const bool plain = c > ' ' && c < 127 && c != '%' && c != '#' && c != '?';
            url += plain ? std::string(1, c) : fmt::format("%{:02x}", static_cast<u8>(c));
        }
        return {url.begin(), url.end()};
    }
    std::string windows = relative ? "./" + path : path;
    std::ranges::replace(windows, '/', '\\');
    const std::vector<u16> units = to_utf16(windows);
    std::vector<u8> bytes(2 * units.size());
    for (std::size_t i = 0; i < units.size(); ++i) {
        base::store_le<u16>(bytes, 2 * i, units[i]);
    }
    return bytes;
}

} // namespace img::vpc
