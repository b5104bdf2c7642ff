// What a firmware can start from a CD.
//
// Source: "El Torito" Bootable CD-ROM Format Specification, version 1.0, January 25, 1995; the
// platform EFI is from the UEFI Specification 2.10, 13.3.2.1, "ISO-9660 and El Torito".
#pragma once

#include "imgtool/fs/file_system.hpp"

namespace img::fs {

/// Whether a volume descriptor, of 2048 bytes, is a boot record with a catalog; then where that is
/// (bytes).
std::optional<u64> find_boot_catalog(std::span<const u8> descriptor);

/// Errors: those of reading; `corrupt`.
Result<std::vector<BootEntry>> read_boot_catalog(const Volume& volume, u64 at);

} // namespace img::fs
