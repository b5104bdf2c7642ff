// A file published in numbered pieces, each compressed by itself.
#pragma once

#include "zoo/fetch/http.hpp"
#include "zoo/recipe/recipe.hpp"

namespace zoo {

/// Brings all pieces, unpacked, into the file, going on behind the whole pieces that it already
/// has; what the last piece has beyond `size` is cut off.
base::Status download_chunks(const Chunks& chunks, base::u64 size, PartialFile& file,
                             const HttpOptions& options, const OnBytes& on_bytes);

/// Undoes the coding of one piece. Errors: `corrupt` when broken or not exactly `size` bytes.
base::Result<std::vector<base::u8>>
unpack_chunk(std::string_view coding, std::span<const base::u8> packed, std::size_t size);

} // namespace zoo
