#include "imgtool/formats/dmg/dmg_layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

namespace img::dmg {

namespace {

using base::Errc;
using base::fail;
using base::load_be;

constexpr u32 kTrailerMagic = 0x6b6f'6c79; // "koly"
constexpr u32 kTableMagic = 0x6d69'7368;   // "mish"
constexpr std::size_t kTableHeader = 204;  // bytes
constexpr std::size_t kRunSize = 40;       // bytes

/// Kinds of runs in a block table; those that are no data are left out.
struct RunKind {
    u32 type;
    Chunk::Kind kind;
    Codec codec;
};
constexpr std::array kRunKinds{
    RunKind{0, Chunk::Kind::zero, Codec::zlib}, // never written
    RunKind{1, Chunk::Kind::raw, Codec::zlib},
    RunKind{2, Chunk::Kind::zero, Codec::zlib}, // "ignore": free space
    RunKind{0x8000'0004, Chunk::Kind::packed, Codec::adc},
    RunKind{0x8000'0005, Chunk::Kind::packed, Codec::zlib},
    RunKind{0x8000'0006, Chunk::Kind::packed, Codec::bzip2},
    RunKind{0x8000'0007, Chunk::Kind::packed, Codec::lzfse},
};
constexpr u32 kComment = 0x7fff'fffe;
constexpr u32 kEnd = 0xffff'ffff;

/// a + b, nothing when that is more than any file has.
std::optional<u64> add(u64 a, u64 b)
{
    constexpr u64 kMost = std::numeric_limits<std::int64_t>::max();
    return a > kMost || b > kMost - a ? std::nullopt : std::optional{a + b};
}

Status check_chunk(const Chunk& chunk, u64 index)
{
    if (chunk.kind != Chunk::Kind::zero && chunk.sectors > kMaxChunk / kSector) {
        return fail(Errc::corrupt,
                    fmt::format("sector count {} for chunk {} is larger than max ({})",
                                chunk.sectors, index, kMaxChunk / kSector));
    }
    if (chunk.kind != Chunk::Kind::zero && chunk.length > kMaxChunk) {
        return fail(Errc::corrupt, fmt::format("length {} for chunk {} is larger than max ({})",
                                               chunk.length, index, kMaxChunk));
    }
    return base::ok();
}

/// Value of a base64 digit (RFC 4648, section 4); 64 for what is none.
u32 digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return static_cast<u32>(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return static_cast<u32>(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return static_cast<u32>(c - '0') + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/// What is no digit, such as line breaks, is passed over.
std::vector<u8> decode_base64(std::string_view text)
{
    std::vector<u8> bytes;
    bytes.reserve(text.size() / 4 * 3);
    u32 bits = 0;
    unsigned count = 0;
    for (const char c : text.substr(0, text.find('='))) {
        const u32 value = digit(c);
        if (value == 64) {
            continue;
        }
        bits = bits << 6 | value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes.push_back(static_cast<u8>(bits >> count));
        }
    }
    return bytes;
}

} // namespace

Result<Trailer> parse_trailer(std::span<const u8> bytes, u64 at)
{
    if (bytes.size() < kTrailerSize || load_be<u32>(bytes, 0) != kTrailerMagic) {
        return fail(Errc::wrong_format, "Could not locate UDIF trailer in dmg file");
    }
    Trailer t{.data_fork = {load_be<u64>(bytes, 24), load_be<u64>(bytes, 32)},
              .resource_fork = {load_be<u64>(bytes, 40), load_be<u64>(bytes, 48)},
              .property_list = {load_be<u64>(bytes, 216), load_be<u64>(bytes, 224)},
              .sectors = load_be<u64>(bytes, 492)};
    for (const Range& range : {t.data_fork, t.resource_fork, t.property_list}) {
        if (range.at > at || range.length > at - range.at) {
            return fail(Errc::corrupt, "a part of the image lies outside the file");
        }
    }
    if (t.sectors > kMaxDisk) {
        return fail(Errc::corrupt, "the disk is too large");
    }
    return t;
}

Status parse_block_table(std::span<const u8> bytes, const Trailer& trailer,
                         std::vector<Chunk>& chunks)
{
    if (bytes.size() < kTableHeader || load_be<u32>(bytes, 0) != kTableMagic) {
        return base::ok();
    }
    const u64 first_sector = load_be<u64>(bytes, 8);
    const u64 data_start = load_be<u64>(bytes, 24);
    // As many runs as there is room for, whatever the count says.
    bytes = bytes.subspan(kTableHeader);
    for (; bytes.size() >= kRunSize; bytes = bytes.subspan(kRunSize)) {
        const u32 type = load_be<u32>(bytes, 0);
        if (type == kEnd) {
            break;
        }
        if (type == kComment) {
            continue;
        }
        const auto* kind = std::ranges::find(kRunKinds, type, &RunKind::type);
        if (kind == kRunKinds.end()) {
            return fail(Errc::unsupported, fmt::format("chunks of type {:#x} are unknown", type));
        }
        const auto sector = add(first_sector, load_be<u64>(bytes, 8));
        const u64 sectors = load_be<u64>(bytes, 16);
        const auto base_at = add(data_start, trailer.data_fork.at);
        const auto at = base_at ? add(*base_at, load_be<u64>(bytes, 24)) : std::nullopt;
        if (!sector || !at || *sector > kMaxDisk || sectors > kMaxDisk) {
            return fail(Errc::corrupt, fmt::format("chunk {} is out of range", chunks.size()));
        }
        const Chunk chunk{.kind = kind->kind,
                          .codec = kind->codec,
                          .sector = *sector,
                          .sectors = sectors,
                          .at = *at,
                          .length = load_be<u64>(bytes, 32)};
        if (auto good = check_chunk(chunk, chunks.size()); !good) {
            return good;
        }
        if (sectors != 0) {
            chunks.push_back(chunk);
        }
    }
    return base::ok();
}

Result<std::vector<std::vector<u8>>> property_list_data(std::string_view text)
{
    constexpr std::string_view kBegin = "<data>";
    constexpr std::string_view kFinish = "</data>";
    std::vector<std::vector<u8>> found;
    for (std::size_t at = text.find(kBegin); at != text.npos; at = text.find(kBegin, at)) {
        at += kBegin.size();
        const std::size_t end = text.find(kFinish, at);
        if (end == text.npos) {
            return fail(Errc::corrupt, "the property list ends within its data");
        }
        found.push_back(decode_base64(text.substr(at, end - at)));
        at = end;
    }
    return found;
}

Result<std::vector<std::span<const u8>>> resources(std::span<const u8> fork)
{
    constexpr std::size_t kForkHeader = 16; // bytes
    if (fork.size() < kForkHeader) {
        return fail(Errc::corrupt, "the resource fork is cut off");
    }
    const u32 data_at = load_be<u32>(fork, 0);
    const u32 data_length = load_be<u32>(fork, 8);
    if (data_at > fork.size() || data_length > fork.size() - data_at) {
        return fail(Errc::corrupt, "the resource fork's data is out of range");
    }
    std::vector<std::span<const u8>> found;
    std::span<const u8> rest = fork.subspan(data_at, data_length);
    while (rest.size() >= sizeof(u32)) {
        const u32 length = load_be<u32>(rest, 0);
        rest = rest.subspan(sizeof(u32));
        if (length == 0 || length > rest.size()) {
            return fail(Errc::corrupt, "a resource is out of range");
        }
        found.push_back(rest.first(length));
        rest = rest.subspan(length);
    }
    return found;
}

} // namespace img::dmg
