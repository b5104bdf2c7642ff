// Downloads over https and http (libcurl): resumed, retried, bounded, never trusted.
#pragma once

#include "zoo/store/partial_file.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace zoo {

struct HttpOptions {
    int attempts = 4;                            // per URL
    std::chrono::milliseconds first_pause{1000}; // doubled before each further attempt
    std::chrono::seconds stall_limit{60};        // without a byte
};

struct HttpRequest {
    std::string url;
    std::optional<base::u64> size; // what the answer must have, when known
    base::u64 max_size = 0;        // refused beyond, when the size is not known
};

/// Called with the number of bytes that are there.
using OnBytes = std::function<void(base::u64 done)>;

/// Brings the file into `file`, going on behind the bytes that it already has when the server
/// agrees (Range, If-Range). The content is not verified here. What is needed for a later
/// resumption is kept in `file.path()` + ".from". Errors say what the server did; bytes received
/// stay.
base::Status http_download(const HttpRequest& request, PartialFile& file,
                           const HttpOptions& options, const OnBytes& on_bytes);

struct ChunkRequest {
    std::vector<std::string> urls;   // in order
    std::size_t max_packed_size = 0; // of one chunk
};

/// Fetches many small files, several at once, and hands each to `take` in the order of the list.
base::Status http_download_chunks(
    const ChunkRequest& request, const HttpOptions& options,
    const std::function<base::Status(std::size_t index, std::span<const base::u8>)>& take);

} // namespace zoo
