#include "imgtool/fs/el_torito.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

constexpr u64 kSector = 2048;              // bytes of a CD
constexpr u64 kVirtualSector = 512;        // bytes, of what sector counts count
constexpr std::size_t kEntry = 32;         // bytes
constexpr std::size_t kMaxCatalog = 16384; // bytes

// What entries begin with: figures 2 to 6.
constexpr u8 kValidation = 0x01;
constexpr u8 kBootable = 0x88;
constexpr u8 kSection = 0x90;
constexpr u8 kLastSection = 0x91;
constexpr u8 kExtension = 0x44;

std::string platform_name(u8 id)
{
    switch (id) {
    case 0:
        return "x86";
    case 1:
        return "PowerPC";
    case 2:
        return "Mac";
    case 0xef:
        return "EFI";
    default:
        return fmt::format("{:#04x}", id);
    }
}

std::string emulation_name(u8 media)
{
    constexpr std::array<std::string_view, 5> kNames{"none", "floppy 1.2M", "floppy 1.44M",
                                                     "floppy 2.88M", "hard disk"};
    const u8 type = media & 0x0f;
    return type < kNames.size() ? std::string{kNames[type]} : fmt::format("{:#04x}", type);
}

/// Figures 3 and 5, "Initial/Default Entry" and "Section Entry".
BootEntry parse_entry(std::span<const u8> e, u8 platform)
{
    return {.platform = platform_name(platform),
            .emulation = emulation_name(e[1]),
            .bootable = e[0] == kBootable,
            .start = load_le<u32>(e, 8) * kSector,
            .size = load_le<u16>(e, 6) * kVirtualSector};
}

/// Figure 2, "Validation Entry": its words' sum is 0.
bool is_validation(std::span<const u8> e)
{
    u16 sum = 0;
    for (std::size_t i = 0; i < kEntry; i += 2) {
        sum = static_cast<u16>(sum + load_le<u16>(e, i));
    }
    return e[0] == kValidation && e[30] == 0x55 && e[31] == 0xaa && sum == 0;
}

} // namespace

std::optional<u64> find_boot_catalog(std::span<const u8> descriptor)
{
    constexpr std::string_view kSystem = "EL TORITO SPECIFICATION";
    const std::string_view system{reinterpret_cast<const char*>(descriptor.data()) + 7,
                                  kSystem.size()};
    if (descriptor[0] != 0 || system != kSystem) {
        return std::nullopt;
    }
    return load_le<u32>(descriptor, 0x47) * kSector;
}

Result<std::vector<BootEntry>> read_boot_catalog(const Volume& volume, u64 at)
{
    const auto damaged = [] { return fail(Errc::corrupt, "the boot catalog is damaged"); };
    if (at > volume.size() || volume.size() - at < 2 * kEntry) {
        return damaged();
    }
    std::vector<u8> bytes(std::min<u64>(kMaxCatalog, volume.size() - at));
    if (auto done = volume.read(at, bytes); !done) {
        return std::move(done).error();
    }
    const auto entry = [&](std::size_t i) {
        return std::span<const u8>{bytes}.subspan(i * kEntry, kEntry);
    };
    const std::size_t count = bytes.size() / kEntry;
    if (!is_validation(entry(0))) {
        return damaged();
    }
    std::vector<BootEntry> entries{parse_entry(entry(1), entry(0)[1])};
    for (std::size_t i = 2; i < count;) {
        const auto header = entry(i++);
        if (header[0] != kSection && header[0] != kLastSection) {
            break;
        }
        for (u16 left = load_le<u16>(header, 2); left != 0 && i < count; ++i) {
            if (entry(i)[0] != kExtension) { // which is what a firmware selects the one before by
                entries.push_back(parse_entry(entry(i), header[1]));
                --left;
            }
        }
        while (i < count && entry(i)[0] == kExtension) {
            ++i;
        }
        if (header[0] == kLastSection) {
            break;
        }
    }
    return entries;
}

} // namespace img::fs
