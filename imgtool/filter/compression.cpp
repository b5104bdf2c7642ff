#include "imgtool/filter/compression.hpp"

#include "imgtool/filter/apple_codecs.hpp"

#include <algorithm>
#include <array>
#include <libdeflate.h>
#include <optional>
#include <zstd.h>

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

namespace {

/// What every decoder answers: how many bytes it made; nothing when the input is damaged.
using Made = std::optional<std::size_t>;

template <auto decompress>
Made inflate(libdeflate_decompressor* inflater, std::span<const u8> packed, std::span<u8> into)
{
    std::size_t used = 0;
    std::size_t made = 0;
    const auto result =
        decompress(inflater, packed.data(), packed.size(), into.data(), into.size(), &used, &made);
    return result == LIBDEFLATE_SUCCESS ? Made{made} : std::nullopt;
}

/// The packed bytes end somewhere inside their last sector, so a frame is decoded as a stream.
Made unpack_zstd(ZSTD_DCtx* context, std::span<const u8> packed, std::span<u8> into)
{
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos < out.size) {
        const std::size_t in_before = in.pos;
        const std::size_t out_before = out.pos;
        const std::size_t left = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(left) != 0 || (in.pos == in_before && out.pos == out_before)) {
            return std::nullopt;
        }
    }
    return out.pos;
}

} // namespace

Status Unpacker::unpack(Codec codec, std::span<const u8> packed, std::span<u8> into, u64 least)
{
    const bool deflated = codec == Codec::raw_deflate || codec == Codec::zlib;
    if (deflated && !state_->deflate) {
        state_->deflate.reset(libdeflate_alloc_decompressor());
    }
    if (codec == Codec::zstd && !state_->zstd) {
        state_->zstd.reset(ZSTD_createDCtx());
    }
    Result<Made> made{std::nullopt};
    switch (codec) {
    case Codec::raw_deflate:
        made = inflate<libdeflate_deflate_decompress_ex>(state_->deflate.get(), packed, into);
        break;
    case Codec::zlib:
        made = inflate<libdeflate_zlib_decompress_ex>(state_->deflate.get(), packed, into);
        break;
    case Codec::zstd:
        made = unpack_zstd(state_->zstd.get(), packed, into);
        break;
    case Codec::adc:
        made = unpack_adc(packed, into);
        break;
    case Codec::bzip2:
        made = unpack_bzip2(packed, into);
        break;
    case Codec::lzfse:
        made = unpack_lzfse(packed, into);
        break;
    }
    if (!made) {
        return std::move(made).error();
    }
    const std::size_t needed = least != 0 ? std::min<std::size_t>(least, into.size()) : into.size();
    if (!made.value() || *made.value() < needed) {
        return fail(Errc::corrupt, "compressed data cannot be unpacked");
    }
    std::ranges::fill(into.subspan(*made.value()), u8{0});
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
    if (codec == Codec::raw_deflate || codec == Codec::zlib) {
        state_->deflate.reset(libdeflate_alloc_compressor(kDeflateLevel));
    } else {
        state_->zstd.reset(ZSTD_createCCtx());
    }
}
Packer::~Packer() = default;

std::size_t Packer::bound(std::size_t size)
{
    return std::max({libdeflate_deflate_compress_bound(nullptr, size),
                     libdeflate_zlib_compress_bound(nullptr, size), ZSTD_compressBound(size)});
}

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
    if (state_->codec == Codec::zlib) {
        return libdeflate_zlib_compress(state_->deflate.get(), from.data(), from.size(),
                                        into.data(), into.size());
    }
    const std::size_t made = ZSTD_compressCCtx(state_->zstd.get(), into.data(), into.size(),
                                               from.data(), from.size(), kZstdLevel);
    return ZSTD_isError(made) != 0 ? 0 : made;
}

} // namespace img
