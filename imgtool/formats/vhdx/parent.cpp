#include "imgtool/formats/vhdx/parent.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/shared/parent_path.hpp"
#include "imgtool/unicode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>

namespace img::vhdx {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

// B04AEFB7-D19E-4A81-B789-25B8E9445913, as its bytes are in the file.
constexpr Guid kVhdxLocator{0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a,
                            0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13};

constexpr std::size_t kHead = 20;  // bytes
constexpr std::size_t kEntry = 12; // bytes

std::optional<unsigned> hex_digit(char c)
{
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return lower >= 'a' && lower <= 'f' ? std::optional<unsigned>{lower - 'a' + 10U} : std::nullopt;
}

/// "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}", whose first three numbers are little-endian in files.
std::optional<Guid> parse_guid(std::string_view text)
{
    constexpr std::array<std::size_t, 16> kPlace{3, 2, 1,  0,  5,  4,  7,  6,
                                                 8, 9, 10, 11, 12, 13, 14, 15};
    Guid guid{};
    std::size_t digits = 0;
    for (const char c : text) {
        if (c == '{' || c == '}' || c == '-') {
            continue;
        }
        const auto digit = hex_digit(c);
        if (!digit || digits == 32) {
            return std::nullopt;
        }
        u8& byte = guid[kPlace[digits / 2]];
        byte = static_cast<u8>(byte << 4 | *digit);
        ++digits;
    }
    return digits == 32 ? std::optional{guid} : std::nullopt;
}

std::string text_at(std::span<const u8> item, u32 offset, u16 length)
{
    const bool inside = offset <= item.size() && length <= item.size() - offset;
    return inside ? utf8_of_le(item.subspan(offset, length)) : "";
}

/// 2.6.2.6.2, "Parent Locator Entry".
std::map<std::string, std::string> read_entries(std::span<const u8> item, std::size_t count)
{
    std::map<std::string, std::string> entries;
    for (std::size_t i = 0; i < count; ++i) {
        const auto e = item.subspan(kHead + i * kEntry, kEntry);
        entries[text_at(item, load_le<u32>(e, 0), load_le<u16>(e, 8))] =
            text_at(item, load_le<u32>(e, 4), load_le<u16>(e, 10));
    }
    return entries;
}

} // namespace

Result<ParentLocator> parse_parent_locator(std::span<const u8> item)
{
    if (item.size() < kHead) {
        return fail(Errc::corrupt, fmt::format("VHDX parent locator of {} bytes", item.size()));
    }
    if (!std::ranges::equal(item.first(kVhdxLocator.size()), kVhdxLocator)) {
        return fail(Errc::unsupported, "VHDX image whose parent is no VHDX file");
    }
    const std::size_t count = load_le<u16>(item, 18);
    if (count > (item.size() - kHead) / kEntry) {
        return fail(Errc::corrupt, fmt::format("VHDX parent locator with {} entries", count));
    }
    const auto entries = read_entries(item, count);
    ParentLocator locator;
    for (const char* key : {"parent_linkage", "parent_linkage2"}) {
        const auto found = entries.find(key);
        const auto guid = found != entries.end() ? parse_guid(found->second) : std::nullopt;
        if (guid) {
            locator.linkage.push_back(*guid);
        }
    }
    for (const char* key : {"relative_path", "volume_path", "absolute_win32_path"}) {
        const auto found = entries.find(key);
        std::string path = found != entries.end() ? from_windows(found->second) : "";
        if (!path.empty()) {
            locator.paths.push_back(std::move(path));
        }
    }
    if (locator.linkage.empty() || locator.paths.empty()) {
        return fail(Errc::corrupt, "VHDX parent locator without the parent's identity or path");
    }
    return locator;
}

BitRun bit_run(std::span<const u8> bits, u64 first, u64 limit)
{
    const auto bit = [&](u64 i) { return (bits[i / 8] >> (i % 8) & 1) != 0; };
    const bool set = bit(first);
    const u8 alike = set ? 0xff : 0;
    u64 i = first + 1;
    while (i < first + limit) {
        if (i % 8 == 0 && bits[i / 8] == alike) {
            i += 8;
        } else if (bit(i) == set) {
            ++i;
        } else {
            break;
        }
    }
    return {set, std::min(i - first, limit)};
}

} // namespace img::vhdx
