#include "imgtool/filter/apple_codecs.hpp"

#include "base/host_library.hpp"

#include <algorithm>
#include <bzlib.h>

namespace img {

namespace {

using base::Errc;
using base::fail;
using base::Result;
using base::u8;
using Made = std::optional<std::size_t>;

struct Bzip2 {
    decltype(&::BZ2_bzBuffToBuffDecompress) decompress = nullptr;
};

Result<Bzip2> load_bzip2()
{
    auto library = base::HostLibrary::load("libbz2.so.1.0", "libbz2-1.0");
    if (!library) {
        return std::move(library).error();
    }
    Bzip2 api;
    library.value().find("BZ2_bzBuffToBuffDecompress", api.decompress);
    if (auto good = library.value().complete(); !good) {
        return std::move(good).error();
    }
    return api;
}

/// As lzfse.h has it; the library is in few distributions, its header in fewer.
using LzfseDecode = std::size_t(u8* into, std::size_t into_size, const u8* from,
                                std::size_t from_size, void* scratch);

Result<LzfseDecode*> load_lzfse()
{
    auto library = base::HostLibrary::load("liblzfse.so.1", "none");
    if (!library) {
        return fail(Errc::unsupported,
                    "lzfse compression needs liblzfse.so.1, which this host does not have");
    }
    LzfseDecode* decode = nullptr;
    library.value().find("lzfse_decode_buffer", decode);
    if (auto good = library.value().complete(); !good) {
        return std::move(good).error();
    }
    return decode;
}

/// A copy of bytes that were unpacked before: how many, and how far back they begin.
struct Match {
    std::size_t length;
    std::size_t distance;
    std::size_t code_bytes;
};

/// ADC's codes are told apart by the first byte's top bits: 1nnnnnnn, n + 1 literal bytes follow;
/// 01nnnnnn dddddddd dddddddd, copy n + 4 bytes; 00nnnndd dddddddd, copy n + 3 bytes; a copy begins
/// d + 1 bytes back.
std::optional<Match> parse_match(std::span<const u8> code)
{
    const bool is_long = (code[0] & 0x40) != 0;
    if (code.size() < (is_long ? 3u : 2u)) {
        return std::nullopt;
    }
    if (is_long) {
        return Match{.length = (code[0] & 0x3fu) + 4u,
                     .distance = (code[1] << 8 | code[2]) + 1u,
                     .code_bytes = 3};
    }
    return Match{.length = (code[0] >> 2) + 3u,
                 .distance = ((code[0] & 3u) << 8 | code[1]) + 1u,
                 .code_bytes = 2};
}

} // namespace

Made unpack_adc(std::span<const u8> packed, std::span<u8> into)
{
    std::size_t made = 0;
    while (!packed.empty() && made < into.size()) {
        if ((packed[0] & 0x80) != 0) {
            const std::size_t length = (packed[0] & 0x7fu) + 1u;
            if (length > packed.size() - 1 || length > into.size() - made) {
                return std::nullopt;
            }
            std::copy_n(packed.begin() + 1, length,
                        into.begin() + static_cast<std::ptrdiff_t>(made));
            made += length;
            packed = packed.subspan(1 + length);
            continue;
        }
        const auto match = parse_match(packed);
        if (!match || match->distance > made || match->length > into.size() - made) {
            return std::nullopt;
        }
        for (std::size_t i = 0; i < match->length; ++i, ++made) { // may overlap itself
            into[made] = into[made - match->distance];
        }
        packed = packed.subspan(match->code_bytes);
    }
    return made;
}

Result<Made> unpack_bzip2(std::span<const u8> packed, std::span<u8> into)
{
    static const Result<Bzip2> library = load_bzip2();
    if (!library) {
        return library.error();
    }
    auto made = static_cast<unsigned>(into.size());
    // The library does not change what it reads, it only says so.
    const int code =
        library.value().decompress(reinterpret_cast<char*>(into.data()), &made,
                                   const_cast<char*>(reinterpret_cast<const char*>(packed.data())),
                                   static_cast<unsigned>(packed.size()), 0, 0);
    return code == BZ_OK ? Made{made} : Made{};
}

Result<Made> unpack_lzfse(std::span<const u8> packed, std::span<u8> into)
{
    static const Result<LzfseDecode*> decode = load_lzfse();
    if (!decode) {
        return decode.error();
    }
    const std::size_t made =
        decode.value()(into.data(), into.size(), packed.data(), packed.size(), nullptr);
    return made != 0 ? Made{made} : Made{};
}

} // namespace img
