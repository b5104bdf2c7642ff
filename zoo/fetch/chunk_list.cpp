#include "zoo/fetch/chunk_list.hpp"

#include "zoo/fetch/chunk_url.hpp"

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>

namespace zoo {

using base::Errc;
using base::Result;
using base::Status;
using base::u64;
using base::u8;

namespace {

// RFC 1950 and 1951: at most 5 bytes for each stored block of 16 KiB, and a small frame.
constexpr std::size_t deflate_bound(std::size_t size)
{
    return size + size / 1000 + 4096;
}

} // namespace

Result<std::vector<u8>> unpack_chunk(std::string_view coding, std::span<const u8> packed,
                                     std::size_t size)
{
    if (coding == "plain") {
        if (packed.size() != size) {
            return base::fail(Errc::corrupt,
                              fmt::format("{} bytes instead of {}", packed.size(), size));
        }
        return std::vector<u8>(packed.begin(), packed.end());
    }
    constexpr int kWindowBits = 15;
    constexpr int kGzipFrame = 16; // zlib's way to say which frame is expected
    std::vector<u8> out(size);
    z_stream stream{};
    if (inflateInit2(&stream, kWindowBits + (coding == "gzip" ? kGzipFrame : 0)) != Z_OK) {
        return base::fail(Errc::io, "zlib does not start");
    }
    stream.next_in = const_cast<u8*>(packed.data());
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = inflate(&stream, Z_FINISH);
    const bool whole = status == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    if (!whole) {
        return base::fail(Errc::corrupt, fmt::format("not {} bytes as {}", size, coding));
    }
    return out;
}

Status download_chunks(const Chunks& chunks, u64 size, PartialFile& file,
                       const HttpOptions& options, const OnBytes& on_bytes)
{
    if (file.size() != size) { // a killed attempt may have left a part of a piece
        auto kept = file.keep_first(file.size() / chunks.size * chunks.size);
        if (!kept) {
            return kept;
        }
    }
    const u64 count = (size + chunks.size - 1) / chunks.size;
    const u64 first = (file.size() + chunks.size - 1) / chunks.size;
    ChunkRequest request;
    request.max_packed_size = deflate_bound(chunks.size);
    for (u64 n = first; n < count; ++n) {
        auto url = expand_chunk_url(chunks.url, n);
        if (!url) {
            return base::fail(Errc::invalid_argument, "not the URL of a chunk list");
        }
        request.urls.push_back(*std::move(url));
    }
    return http_download_chunks(
        request, options, [&](std::size_t index, std::span<const u8> packed) {
            auto plain = unpack_chunk(chunks.coding, packed, chunks.size);
            if (!plain) {
                return Status{std::move(plain).error().in(request.urls[index])};
            }
            const u64 wanted = std::min<u64>(chunks.size, size - file.size());
            auto written = file.append(std::span{plain.value()}.first(wanted));
            on_bytes(file.size());
            return written;
        });
}

} // namespace zoo
