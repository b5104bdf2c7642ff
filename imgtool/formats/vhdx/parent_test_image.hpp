// Differencing VHDX disks for tests: nothing here makes them otherwise.
#pragma once

#include "base/endian.hpp"
#include "imgtool/formats/vhdx/layout.hpp"
#include "imgtool/unicode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace img::vhdx::test {

using Entries = std::vector<std::pair<std::string, std::string>>;

/// MS-VHDX 2.6.2.6, "Parent Locator".
inline std::vector<u8> locator_item(const Entries& entries)
{
    std::vector<u8> item{0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a,
                         0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13};
    item.resize(20 + entries.size() * 12);
    base::store_le<u16>(item, 18, static_cast<u16>(entries.size()));
    const auto append = [&](const std::string& text, std::size_t offset_at, std::size_t length_at) {
        base::store_le<u32>(item, offset_at, static_cast<u32>(item.size()));
        for (const u16 unit : to_utf16(text)) {
            item.push_back(static_cast<u8>(unit));
            item.push_back(static_cast<u8>(unit >> 8));
        }
        base::store_le<u16>(item, length_at, static_cast<u16>(2 * to_utf16(text).size()));
    };
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const std::size_t at = 20 + i * 12;
        append(entries[i].first, at, at + 8);
        append(entries[i].second, at + 4, at + 10);
    }
    return item;
}

inline std::string guid_text(const Guid& g)
{
    return fmt::format("{{{:02x}{:02x}{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-{:02x}{:02x}-{:02x}{:"
                       "02x}{:02x}{:02x}{:02x}{:02x}}}",
                       g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11],
                       g[12], g[13], g[14], g[15]);
}

/// A disk like `parent`, an image with a log of 1 MiB, with nothing of its own.
inline std::vector<u8> make_child(const std::vector<u8>& parent, const Entries& locator)
{
    constexpr u64 kBatAt = 2 * kMiB;
    constexpr u64 kMetadataAt = 3 * kMiB;
    constexpr Guid kLocatorId{0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                              0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c};
    std::vector<u8> child{parent.begin(), parent.begin() + 4 * kMiB};
    std::fill_n(child.begin() + kBatAt, kMiB, u8{0});
    child[kMetadataAt + 64 * 1024 + 4] = 2; // file parameters: has a parent
    const auto item = locator_item(locator);
    const u16 count = base::load_le<u16>(child, kMetadataAt + 10);
    const u64 entry = kMetadataAt + 32 + u64{count} * 32;
    base::store_le<u16>(child, kMetadataAt + 10, static_cast<u16>(count + 1));
    std::ranges::copy(kLocatorId, child.begin() + static_cast<std::ptrdiff_t>(entry));
    base::store_le<u32>(child, entry + 16, 128 * 1024);
    base::store_le<u32>(child, entry + 20, static_cast<u32>(item.size()));
    base::store_le<u32>(child, entry + 24, 4); // required
    std::ranges::copy(item, child.begin() + kMetadataAt + 128 * 1024);
    return child;
}

} // namespace img::vhdx::test
