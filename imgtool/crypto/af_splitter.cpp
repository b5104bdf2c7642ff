#include "imgtool/crypto/af_splitter.hpp"

#include "base/endian.hpp"

#include <algorithm>

namespace img::crypto {

namespace {

/// H1 of the specification: each piece of the digest's length is replaced by the digest of its
/// number and itself.
Status diffuse(Hash hash, std::span<u8> block)
{
    const u32 size = digest_size(hash);
    std::array<u8, sizeof(u32) + kMaxDigest> input{};
    for (u32 i = 0; i * size < block.size(); ++i) {
        const auto piece =
            block.subspan(i * size, std::min<std::size_t>(size, block.size() - i * size));
        base::store_be<u32>(input, 0, i);
        std::ranges::copy(piece, input.begin() + sizeof(u32));
        if (auto done = digest(hash, std::span{input}.first(sizeof(u32) + piece.size()), piece);
            !done) {
            return done;
        }
    }
    return base::ok();
}

/// Combines all blocks but the last into `block`.
Status combine(Hash hash, std::span<const u8> split, u32 stripes, std::span<u8> block)
{
    std::ranges::fill(block, u8{0});
    for (u32 i = 0; i + 1 < stripes; ++i) {
        for (std::size_t b = 0; b < block.size(); ++b) {
            block[b] ^= split[i * block.size() + b];
        }
        if (auto done = diffuse(hash, block); !done) {
            return done;
        }
    }
    return base::ok();
}

} // namespace

Result<std::vector<u8>> af_split(Hash hash, std::span<const u8> key, u32 stripes)
{
    std::vector<u8> split(key.size() * stripes);
    const auto last = std::span{split}.last(key.size());
    if (auto done = random_bytes(std::span{split}.first(split.size() - key.size())); !done) {
        return std::move(done).error();
    }
    if (auto done = combine(hash, split, stripes, last); !done) {
        return std::move(done).error();
    }
    for (std::size_t b = 0; b < key.size(); ++b) {
        last[b] ^= key[b];
    }
    return split;
}

Result<std::vector<u8>> af_merge(Hash hash, std::span<const u8> split, u32 stripes)
{
    std::vector<u8> key(split.size() / stripes);
    if (auto done = combine(hash, split, stripes, key); !done) {
        return std::move(done).error();
    }
    const auto last = split.last(key.size());
    for (std::size_t b = 0; b < key.size(); ++b) {
        key[b] ^= last[b];
    }
    return key;
}

} // namespace img::crypto
