// Compression of image blocks, for all formats that have it.
#pragma once

#include "base/result.hpp"
#include "imgtool/image.hpp"

#include <memory>
#include <span>

namespace img {

/// Unpacks blocks; keeps its working memory from one block to the next. One per thread.
class Unpacker {
public:
    Unpacker();
    ~Unpacker();
    Unpacker(const Unpacker&) = delete;
    Unpacker& operator=(const Unpacker&) = delete;

    /// Fills `into`. `packed` may have more bytes than the block needs. With `least`, the block may
    /// turn out shorter than `into`, but not than that; what is missing is filled with zeroes.
    /// Errors: `corrupt`; `unsupported` for codecs whose library is not there.
    Status unpack(Codec codec, std::span<const u8> packed, std::span<u8> into, u64 least = 0);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Packs blocks; one per thread.
class Packer {
public:
    explicit Packer(Codec codec);
    ~Packer();
    Packer(const Packer&) = delete;
    Packer& operator=(const Packer&) = delete;

    /// Bytes that are enough for any block of `size` bytes once it is packed.
    static std::size_t bound(std::size_t size);

    /// Packs `from` into `into` and returns how many bytes that took; 0 when it does not fit.
    std::size_t pack(std::span<const u8> from, std::span<u8> into);

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace img
