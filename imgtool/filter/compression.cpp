#include "imgtool/filter/compression.hpp"

#include <libdeflate.h>
#include <zstd.h>

#include <algorithm>
#include <array>

namespace img {

namespace {

using base::Errc;
using base::fail;

// Smaller files than zlib's level 6, which qemu-img uses, in a quarter of its time
// (docs/benchmarks.md).
constexpr int kDeflateLevel = 2;
constexpr int kZstdLevel = 3; // zstd's own default

constexpr std::size_t kSample = 1024; // bytes
constexpr std::size_t kSamples = 4;
constexpr std::size_t kTrial = 8192; // bytes

/// Whether bytes look like those of a random source or of packed data: all 256 values about equally
/// often. Pearson's chi-squared statistic has then 255 degrees of freedom, a mean of 255 and a
/// standard deviation of 23; machine code and text are above 5000.
bool looks_random(std::span<const u8> bytes)
{
    if (bytes.size() < 2 * kSample * kSamples) {
        return false;
    }
    std::array<u32, 256> counts{};
    for (std::size_t i = 0; i < kSamples; ++i) {
        for (const u8 byte : bytes.subspan(i * (bytes.size() / kSamples), kSample)) {
            ++counts[byte];
        }
    }
    constexpr u64 kExpected = kSample * kSamples / 256;
    u64 squares = 0;
    for (const u32 count : counts) {
        squares += u64{count} * count;
    }
    constexpr u64 kLimit = 400;
    return squares < kExpected * (kLimit + kSample * kSamples);
}

template <auto function>
struct Deleter {
    template <class T>
    void operator()(T* object) const
    {
        function(object);
    }
};

} // namespace

struct Unpacker::State {
    std::unique_ptr<libdeflate_decompressor, Deleter<libdeflate_free_decompressor>> deflate;
    std::unique_ptr<ZSTD_DCtx, Deleter<ZSTD_freeDCtx>> zstd;
};

Unpacker::Unpacker() : state_{std::make_unique<State>()} {}
Unpacker::~Unpacker() = default;

Status Unpacker::unpack(Codec codec, std::span<const u8> packed, std::span<u8> into)
{
    if (codec == Codec::raw_deflate) {
        if (!state_->deflate) {
            state_->deflate.reset(libdeflate_alloc_decompressor());
        }
        std::size_t used = 0;
        std::size_t made = 0;
        const auto result =
            libdeflate_deflate_decompress_ex(state_->deflate.get(), packed.data(), packed.size(),
                                             into.data(), into.size(), &used, &made);
        if (result != LIBDEFLATE_SUCCESS || made != into.size()) {
            return fail(Errc::corrupt, "compressed data cannot be unpacked");
        }
        return base::ok();
    }
    // The packed bytes end somewhere inside their last sector, so a frame is decoded as a stream.
    if (!state_->zstd) {
        state_->zstd.reset(ZSTD_createDCtx());
    }
    ZSTD_DCtx_reset(state_->zstd.get(), ZSTD_reset_session_only);
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos < out.size) {
        const std::size_t in_before = in.pos;
        const std::size_t out_before = out.pos;
        const std::size_t left = ZSTD_decompressStream(state_->zstd.get(), &out, &in);
        if (ZSTD_isError(left) != 0 || (in.pos == in_before && out.pos == out_before)) {
            return fail(Errc::corrupt, "compressed data cannot be unpacked");
        }
    }
    return base::ok();
}

struct Packer::State {
    Codec codec;
    std::unique_ptr<libdeflate_compressor, Deleter<libdeflate_free_compressor>> deflate;
    std::unique_ptr<ZSTD_CCtx, Deleter<ZSTD_freeCCtx>> zstd;
};

Packer::Packer(Codec codec) : state_{std::make_unique<State>()}
{
    state_->codec = codec;
    if (codec == Codec::raw_deflate) {
        state_->deflate.reset(libdeflate_alloc_compressor(kDeflateLevel));
    } else {
        state_->zstd.reset(ZSTD_createCCtx());
    }
}
Packer::~Packer() = default;

std::size_t Packer::pack(std::span<const u8> from, std::span<u8> into)
{
    if (state_->codec == Codec::raw_deflate) {
        if (looks_random(from) &&
            libdeflate_deflate_compress(state_->deflate.get(), from.data(), kTrial, into.data(),
                                        std::min(into.size(), kTrial - 1)) == 0) {
            return 0; // a part of it does not become smaller: most of the time goes into such
                      // blocks
        }
        return libdeflate_deflate_compress(state_->deflate.get(), from.data(), from.size(),
                                           into.data(), into.size());
    }
    const std::size_t made = ZSTD_compressCCtx(state_->zstd.get(), into.data(), into.size(),
                                               from.data(), from.size(), kZstdLevel);
    return ZSTD_isError(made) != 0 ? 0 : made;
}

} // namespace img
