// Reading and writing encrypted parts of files at any offset.
#pragma once

#include "imgtool/filter/cipher.hpp"
#include "imgtool/source/byte_source.hpp"

namespace img {

/// Reads and decrypts what is at `at`. What lies past the end of the file is as if it were zero
/// there, so that it reads as noise.
Status read_sealed(ByteSource& file, FileOffset at, const Sealing& sealing, std::span<u8> into);

/// Encrypts and writes. Sectors that are written only in part are read before.
Status write_sealed(ByteSource& file, FileOffset at, const Sealing& sealing,
                    std::span<const u8> from);

} // namespace img
