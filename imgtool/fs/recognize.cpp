#include "imgtool/fs/recognize.hpp"

#include <algorithm>
#include <array>

namespace img::fs {

namespace {

/// Bytes by which something can be told.
struct Signature {
    std::string_view name;
    u64 at; // bytes
    std::string_view bytes;
};

using namespace std::string_view_literals;

// From each one's own description of its layout; what is made of others (LVM, LUKS, md) first.
constexpr std::array kSignatures{
    Signature{"luks", 0, "LUKS\xba\xbe"sv},
    Signature{"lvm2", 536,
              "LVM2 001"sv}, // the label is in the second sector, or another of the first
    Signature{"lvm2", 24, "LVM2 001"sv},
    Signature{"md-raid", 4096, "\xfc\x4e\x2b\xa9"sv},
    Signature{"bitlocker", 3, "-FVE-FS-"sv},
    Signature{"ntfs", 3, "NTFS    "sv},
    Signature{"exfat", 3, "EXFAT   "sv},
    Signature{"refs", 3, "ReFS\0\0\0\0"sv},
    Signature{"xfs", 0, "XFSB"sv},
    Signature{"btrfs", 65600, "_BHRfS_M"sv},
    Signature{"f2fs", 1024, "\x10\x20\xf5\xf2"sv},
    Signature{"bcachefs", 4120,
              "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"sv},
    Signature{"reiserfs", 65588, "ReIsErFs"sv},
    Signature{"reiserfs", 65588, "ReIsEr2Fs"sv},
    Signature{"jfs", 32768, "JFS1"sv},
    Signature{"squashfs", 0, "hsqs"sv},
    Signature{"erofs", 1024, "\xe2\xe1\xf5\xe0"sv},
    Signature{"cramfs", 0, "\x45\x3d\xcd\x28"sv},
    Signature{"romfs", 0, "-rom1fs-"sv},
    Signature{"apfs", 32, "NXSB"sv},
    Signature{"hfsplus", 1024, "H+\0\4"sv},
    Signature{"hfsplus", 1024, "HX\0\5"sv},
    Signature{"hfs", 1024, "BD"sv},
    Signature{"ufs2", 66908, "\x19\x01\x54\x19"sv},
    Signature{"ufs1", 9564, "\x54\x19\x01\x00"sv},
    Signature{"minix", 1040, "\x7f\x13"sv},
    Signature{"minix", 1040, "\x8f\x13"sv},
    Signature{"minix", 1040, "\x68\x24"sv},
    Signature{"minix", 1040, "\x78\x24"sv},
    Signature{"minix3", 1048, "\x5a\x4d"sv},
    Signature{"swap", 4086, "SWAPSPACE2"sv},
    Signature{"swap", 4086, "SWAP-SPACE"sv},
};

bool has(const Volume& volume, u64 at, std::string_view bytes)
{
    std::array<u8, 16> there{};
    const auto part = std::span{there}.first(bytes.size());
    return at + bytes.size() <= volume.size() && volume.read(at, part) &&
           std::ranges::equal(part, bytes, [](u8 a, char b) { return a == static_cast<u8>(b); });
}

} // namespace

bool has_udf(const Volume& volume)
{
    constexpr u64 kFirst = 32768; // bytes
    constexpr u64 kStep = 2048;   // bytes; descriptors of larger sectors leave gaps
    constexpr u64 kMost = 64;     // descriptors, as of ISO 9660
    constexpr std::array<std::string_view, 6> kOthers{"CD001", "BEA01", "BOOT2",
                                                      "CDW02", "TEA01", "\0\0\0\0\0"sv};
    for (u64 i = 0; i < kMost; ++i) {
        const u64 id = kFirst + i * kStep + 1;
        if (has(volume, id, "NSR02") || has(volume, id, "NSR03")) {
            return true;
        }
        if (std::ranges::none_of(kOthers, [&](auto other) { return has(volume, id, other); })) {
            return false;
        }
    }
    return false;
}

std::string_view recognize(const Volume& volume)
{
    const auto found = std::ranges::find_if(
        kSignatures, [&](const Signature& s) { return has(volume, s.at, s.bytes); });
    if (found != kSignatures.end()) {
        return found->name;
    }
    return has_udf(volume) ? "udf" : "";
}

} // namespace img::fs
