// The messages of the Network Block Device protocol, apart from what is done with them.
//
// Source: "The NBD protocol" (doc/proto.md of the NetworkBlockDevice project), whose section titles
// are cited. All numbers are in network byte order ("Conventions").
#pragma once

#include "base/endian.hpp"
#include "base/types.hpp"

#include <array>
#include <cstddef>
#include <span>

namespace img::nbd {

using base::u16;
using base::u32;
using base::u64;
using base::u8;

inline constexpr u64 kServerMagic = 0x4e42444d41474943;   // "NBDMAGIC", "Newstyle negotiation"
inline constexpr u64 kOptionMagic = 0x49484156454f5054;   // "IHAVEOPT"
inline constexpr u64 kOptionReplyMagic = 0x3e889045565a9; // "Fixed newstyle negotiation"
inline constexpr u32 kRequestMagic = 0x25609513;          // "Request message"
inline constexpr u32 kSimpleReplyMagic = 0x67446698;      // "Simple reply message"
inline constexpr u32 kChunkMagic = 0x668e33ef;            // "Structured reply chunk message"

inline constexpr u16 kDefaultPort = 10809; // "Newstyle negotiation"

/// "Conventions": no string may be longer.
inline constexpr u32 kMaxString = 4096; // bytes

// "Handshake flags" and "Client flags".
inline constexpr u16 kFixedNewstyle = 1U << 0;
inline constexpr u16 kNoZeroes = 1U << 1;
inline constexpr std::size_t kZeroesAfterExport = 124; // bytes, "Newstyle negotiation"

// "Transmission flags".
inline constexpr u16 kHasFlags = 1U << 0;
inline constexpr u16 kReadOnly = 1U << 1;
inline constexpr u16 kSendFlush = 1U << 2;
inline constexpr u16 kSendFua = 1U << 3;
inline constexpr u16 kSendTrim = 1U << 5;
inline constexpr u16 kSendWriteZeroes = 1U << 6;
inline constexpr u16 kSendDontFragment = 1U << 7;
inline constexpr u16 kCanMultiConnect = 1U << 8;
inline constexpr u16 kSendCache = 1U << 10;

/// "Option types".
enum class Option : u32 {
    export_name = 1,
    abort = 2,
    list = 3,
    start_tls = 5,
    info = 6,
    go = 7,
    structured_reply = 8,
    list_meta_context = 9,
    set_meta_context = 10
};

/// "Option reply types".
enum class OptionReply : u32 {
    ack = 1,
    server = 2,
    info = 3,
    meta_context = 4,
    error_unsupported = (1U << 31) + 1,
    error_policy = (1U << 31) + 2,
    error_invalid = (1U << 31) + 3,
    error_tls_required = (1U << 31) + 5,
    error_unknown = (1U << 31) + 6,
    error_too_big = (1U << 31) + 9
};

/// "NBD_INFO information types", of NBD_OPT_INFO and NBD_OPT_GO.
enum class Info : u16 { export_size = 0, name = 1, description = 2, block_size = 3 };

/// "Request types".
enum class Command : u16 {
    read = 0,
    write = 1,
    disconnect = 2,
    flush = 3,
    trim = 4,
    cache = 5,
    write_zeroes = 6,
    block_status = 7
};

// "Command flags".
inline constexpr u16 kCommandFua = 1U << 0;
inline constexpr u16 kCommandNoHole = 1U << 1;
inline constexpr u16 kCommandDontFragment = 1U << 2;
inline constexpr u16 kCommandRequestOne = 1U << 3;

/// "Structured reply types".
enum class Chunk : u16 {
    none = 0,
    offset_data = 1,
    offset_hole = 2,
    block_status = 5,
    error = (1U << 15) + 1,
    error_offset = (1U << 15) + 2
};
inline constexpr u16 kChunkDone = 1U << 0; // "Structured reply flags"

// "Metadata contexts": flags of base:allocation.
inline constexpr u32 kStateHole = 1U << 0;
inline constexpr u32 kStateZero = 1U << 1;

/// "Error values".
enum class Errno : u32 {
    none = 0,
    not_permitted = 1,
    io = 5,
    invalid = 22,
    no_space = 28,
    overflow = 75
};

/// "Newstyle negotiation": the server's greeting.
inline std::array<u8, 18> encode_greeting(u16 flags)
{
    std::array<u8, 18> bytes{};
    base::store_be<u64>(bytes, 0, kServerMagic);
    base::store_be<u64>(bytes, 8, kOptionMagic);
    base::store_be<u16>(bytes, 16, flags);
    return bytes;
}

inline constexpr std::size_t kClientFlagsSize = 4; // bytes

/// "Newstyle negotiation": the head of an option.
struct OptionHeader {
    static constexpr std::size_t kSize = 16; // bytes
    u64 magic;
    u32 option;
    u32 length; // bytes of data that follow

    static OptionHeader decode(std::span<const u8> bytes)
    {
        return {base::load_be<u64>(bytes, 0), base::load_be<u32>(bytes, 8),
                base::load_be<u32>(bytes, 12)};
    }
};

/// "Fixed newstyle negotiation": the head of a reply to an option.
struct OptionReplyHeader {
    static constexpr std::size_t kSize = 20; // bytes
    u32 option;
    OptionReply type;
    u32 length; // bytes of data that follow

    void encode(std::span<u8> bytes) const
    {
        base::store_be<u64>(bytes, 0, kOptionReplyMagic);
        base::store_be<u32>(bytes, 8, option);
        base::store_be<u32>(bytes, 12, static_cast<u32>(type));
        base::store_be<u32>(bytes, 16, length);
    }
};

/// "Request message".
struct Request {
    static constexpr std::size_t kSize = 28; // bytes
    u32 magic;
    u16 flags;
    Command command;
    u64 cookie; // called "handle" in older versions of the document
    u64 offset; // bytes
    u32 length; // bytes

    static Request decode(std::span<const u8> bytes)
    {
        return {base::load_be<u32>(bytes, 0),
                base::load_be<u16>(bytes, 4),
                static_cast<Command>(base::load_be<u16>(bytes, 6)),
                base::load_be<u64>(bytes, 8),
                base::load_be<u64>(bytes, 16),
                base::load_be<u32>(bytes, 24)};
    }
};

/// "Simple reply message".
struct SimpleReply {
    static constexpr std::size_t kSize = 16; // bytes
    Errno error;
    u64 cookie;

    void encode(std::span<u8> bytes) const
    {
        base::store_be<u32>(bytes, 0, kSimpleReplyMagic);
        base::store_be<u32>(bytes, 4, static_cast<u32>(error));
        base::store_be<u64>(bytes, 8, cookie);
    }
};

/// "Structured reply chunk message".
struct ChunkHeader {
    static constexpr std::size_t kSize = 20; // bytes
    u16 flags;
    Chunk type;
    u64 cookie;
    u32 length; // bytes of payload that follow

    void encode(std::span<u8> bytes) const
    {
        base::store_be<u32>(bytes, 0, kChunkMagic);
        base::store_be<u16>(bytes, 4, flags);
        base::store_be<u16>(bytes, 6, static_cast<u16>(type));
        base::store_be<u64>(bytes, 8, cookie);
        base::store_be<u32>(bytes, 16, length);
    }
};

} // namespace img::nbd
