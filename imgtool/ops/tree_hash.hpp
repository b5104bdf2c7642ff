// The digest of a disk's content: the same for the same bytes, whatever the format of the image,
// its clusters or its holes; holes cost nothing.
//
// Definition, version 1. H is the hash (SHA-256 unless chosen otherwise), || joins bytes, numbers
// in it are 8 bytes, the most significant first. Leaves, inner nodes and the root are told apart by
// their first byte, so that none can be passed off as another (as in RFC 6962, section 2.1, "Merkle
// Hash Trees", but the tree's shape is a different one).
//
//   1. The disk is N bytes long. It is cut into blocks of B bytes (a power of two from 4 KiB to
//      16 MiB; 1 MiB unless chosen otherwise); the last is filled up with zeroes.
//   2. Zero blocks are added until their number is a power of two, at least 1. (So N = 0 has one.)
//   3. The digest of a block is            H(0x00 || its B bytes).
//      The digest of two neighbours is     H(0x01 || digest of the first || digest of the second),
//      of two neighbouring pairs the same of their digests, and so on until one is left: the top.
//   4. The digest of the disk is           H(0x02 || "imgtool tree v1\n" || N || B || top).
//
// A range of zero blocks that is aligned to its own power-of-two length has a digest that depends
// on its length only: Z(0) = H(0x00 || B zeroes), Z(k + 1) = H(0x01 || Z(k) || Z(k)). That is why
// holes are free: a range of them is at most two dozens or so of such digests.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/crypto/host_crypto.hpp"

#include <array>
#include <functional>
#include <string>
#include <vector>

namespace img {

inline constexpr u64 kTreeBlock = u64{1} << 20;
inline constexpr u64 kMinTreeBlock = u64{4} << 10;
inline constexpr u64 kMaxTreeBlock = u64{16} << 20;

struct Digest {
    std::array<u8, crypto::kMaxDigest> bytes{};
    std::size_t size = 0;

    std::span<const u8> view() const { return std::span{bytes}.first(size); }
    std::string hex() const;
    bool operator==(const Digest&) const = default;
};

/// A block, or a range of zero blocks, each of which has this digest.
struct TreeBlock {
    u64 offset; // bytes
    u64 length; // bytes, of the disk
    bool zero;
    Digest digest;
};

struct TreeHashOptions {
    crypto::Hash algorithm = crypto::Hash::sha256;
    u64 block_size = kTreeBlock; // bytes, a power of two within the limits
    unsigned threads = 0;        // at most so many; 0: as many as the host has processors
    /// When set, is told all blocks, in order, neighbouring zero blocks at once.
    std::function<void(const TreeBlock& block)> visit = {};
    /// Called now and then, in order; false stops.
    std::function<bool(u64 done, u64 total)> progress = {};
};

/// Errors: `invalid_argument` for a bad block size or when stopped; those of reading; `unsupported`
/// when the host has no OpenSSL.
Result<Digest> tree_hash(ChainDisk& disk, const TreeHashOptions& options = {});

/// The plain digest of all the disk's bytes: what `sha256sum` says of the raw image.
Result<Digest> flat_hash(ChainDisk& disk, crypto::Hash algorithm,
                         const std::function<bool(u64 done, u64 total)>& progress = {});

/// Puts a tree's digests together, block after block. Useful by itself where the blocks do not come
/// from an image.
class TreeBuilder {
public:
    static Result<TreeBuilder> make(crypto::Hash algorithm, u64 block_size);

    Status add(const Digest& block);
    Status add_zeroes(u64 blocks);
    /// The digest of a zero block.
    Result<Digest> zero_block() { return zero(0); }
    /// The digest of the disk, all of whose blocks have been added.
    Result<Digest> finish(u64 size);

private:
    TreeBuilder(crypto::Hasher hasher, crypto::Hash algorithm, u64 block_size);

    Result<Digest> zero(unsigned level);
    Result<Digest> join(const Digest& left, const Digest& right);
    Status push(unsigned level, Digest digest);

    crypto::Hasher hasher_;
    std::size_t digest_size_;
    u64 block_size_;
    u64 blocks_ = 0;              // added so far
    std::vector<Digest> pending_; // of whole subtrees, one for each bit set in blocks_
    std::vector<Digest> zeroes_;  // of zero subtrees, by level
};

} // namespace img
