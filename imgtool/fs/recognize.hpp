// Names of what is on a volume, for what we cannot look into.
#pragma once

#include "imgtool/fs/file_system.hpp"

namespace img::fs {

/// What a volume has by its signatures: "ntfs", "xfs", "lvm2"; empty: nothing that is known. Those
/// that open_file_system() opens are not among them.
std::string_view recognize(const Volume& volume);

/// Whether there is UDF, beside ISO 9660 or alone: ECMA-167, 3rd edition, 2/8.3 and 3/9.1.
bool has_udf(const Volume& volume);

} // namespace img::fs
