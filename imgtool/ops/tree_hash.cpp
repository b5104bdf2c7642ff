#include "imgtool/ops/tree_hash.hpp"

#include "base/endian.hpp"
#include "imgtool/ops/block_walk.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <string_view>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr std::array<u8, 1> kLeaf{0x00};
constexpr std::array<u8, 1> kNode{0x01};
constexpr std::array<u8, 1> kRoot{0x02};
constexpr std::string_view kLabel = "imgtool tree v1\n";

constexpr std::size_t kZeroPiece = 4096; // bytes

void add_zero_bytes(crypto::Hasher& hasher, u64 count)
{
    static constexpr std::array<u8, kZeroPiece> kZeroes{};
    while (count != 0) {
        const u64 n = std::min<u64>(count, kZeroPiece);
        hasher.add(std::span{kZeroes}.first(n));
        count -= n;
    }
}

Result<Digest> finish(crypto::Hasher& hasher, std::size_t size)
{
    Digest digest{.bytes = {}, .size = size};
    if (auto done = hasher.finish(std::span{digest.bytes}.first(size)); !done) {
        return std::move(done).error();
    }
    return digest;
}

Result<Digest> leaf(crypto::Hasher& hasher, std::size_t size, std::span<const u8> bytes,
                    u64 block_size)
{
    hasher.add(kLeaf);
    hasher.add(bytes);
    add_zero_bytes(hasher, block_size - bytes.size());
    return finish(hasher, size);
}

/// What all threads share; only used in turn.
struct Tree {
    TreeBuilder builder;
    const TreeHashOptions& options;
    std::optional<TreeBlock> zeroes = {}; // seen, but not told yet

    void tell(const TreeBlock& block)
    {
        if (zeroes && block.zero) {
            zeroes->length += block.length;
            return;
        }
        tell_zeroes();
        if (block.zero) {
            zeroes = block;
        } else {
            options.visit(block);
        }
    }
    void tell_zeroes()
    {
        if (zeroes) {
            options.visit(*zeroes);
            zeroes.reset();
        }
    }
};

class TreeWorker final : public BlockWorker {
public:
    TreeWorker(Tree& tree, crypto::Hasher hasher)
        : tree_{tree}, hasher_{std::move(hasher)}, size_{
                                                       crypto::digest_size(tree.options.algorithm)}
    {}

    Status work(u64, std::span<const u8> bytes) override
    {
        auto made = leaf(hasher_, size_, bytes, tree_.options.block_size);
        if (!made) {
            return std::move(made).error();
        }
        digest_ = made.value();
        return base::ok();
    }

    Status pass(u64 offset, u64 length, bool zero) override
    {
        const u64 block = tree_.options.block_size;
        auto added = zero ? tree_.builder.add_zeroes(length / block + (length % block != 0 ? 1 : 0))
                          : tree_.builder.add(digest_);
        if (!added || !tree_.options.visit) {
            return added;
        }
        if (zero) {
            auto digest = tree_.builder.zero_block();
            if (!digest) {
                return std::move(digest).error();
            }
            digest_ = digest.value();
        }
        tree_.tell({.offset = offset, .length = length, .zero = zero, .digest = digest_});
        return base::ok();
    }

private:
    Tree& tree_;
    crypto::Hasher hasher_;
    std::size_t size_; // bytes of a digest
    Digest digest_;
};

} // namespace

std::string Digest::hex() const
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const u8 byte : view()) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

TreeBuilder::TreeBuilder(crypto::Hasher hasher, crypto::Hash algorithm, u64 block_size)
    : hasher_{std::move(hasher)}, digest_size_{crypto::digest_size(algorithm)}, block_size_{
                                                                                    block_size}
{}

Result<TreeBuilder> TreeBuilder::make(crypto::Hash algorithm, u64 block_size)
{
    if (!std::has_single_bit(block_size) || block_size < kMinTreeBlock ||
        block_size > kMaxTreeBlock) {
        return fail(Errc::invalid_argument,
                    "the block size must be a power of two from 4 KiB to 16 MiB");
    }
    auto hasher = crypto::Hasher::make(algorithm);
    if (!hasher) {
        return std::move(hasher).error();
    }
    return TreeBuilder{std::move(hasher).value(), algorithm, block_size};
}

/// The digest of 2^level zero blocks.
Result<Digest> TreeBuilder::zero(unsigned level)
{
    while (zeroes_.size() <= level) {
        auto made = zeroes_.empty() ? leaf(hasher_, digest_size_, {}, block_size_)
                                    : join(zeroes_.back(), zeroes_.back());
        if (!made) {
            return made;
        }
        zeroes_.push_back(made.value());
    }
    return zeroes_[level];
}

Result<Digest> TreeBuilder::join(const Digest& left, const Digest& right)
{
    hasher_.add(kNode);
    hasher_.add(left.view());
    hasher_.add(right.view());
    return img::finish(hasher_, digest_size_);
}

/// Adds a subtree of 2^level blocks; as many must have been added before as a multiple of that.
Status TreeBuilder::push(unsigned level, Digest digest)
{
    const u64 added = u64{1} << level;
    for (; ((blocks_ >> level) & 1) != 0; ++level) {
        auto joined = join(pending_.back(), digest);
        if (!joined) {
            return std::move(joined).error();
        }
        pending_.pop_back();
        digest = joined.value();
    }
    pending_.push_back(digest);
    blocks_ += added;
    return base::ok();
}

Status TreeBuilder::add(const Digest& block)
{
    return push(0, block);
}

Status TreeBuilder::add_zeroes(u64 blocks)
{
    while (blocks != 0) {
        const auto aligned = static_cast<unsigned>(std::countr_zero(blocks_)); // 64 for none yet
        const auto largest = static_cast<unsigned>(std::bit_width(blocks)) - 1;
        const unsigned level = std::min(aligned, largest);
        auto digest = zero(level);
        if (!digest) {
            return std::move(digest).error();
        }
        if (auto pushed = push(level, digest.value()); !pushed) {
            return pushed;
        }
        blocks -= u64{1} << level;
    }
    return base::ok();
}

Result<Digest> TreeBuilder::finish(u64 size)
{
    if (auto padded = add_zeroes(std::bit_ceil(std::max<u64>(blocks_, 1)) - blocks_); !padded) {
        return std::move(padded).error();
    }
    std::array<u8, 16> numbers{};
    base::store_be<u64>(numbers, 0, size);
    base::store_be<u64>(numbers, 8, block_size_);
    hasher_.add(kRoot);
    hasher_.add({reinterpret_cast<const u8*>(kLabel.data()), kLabel.size()});
    hasher_.add(numbers);
    hasher_.add(pending_.back().view());
    return img::finish(hasher_, digest_size_);
}

Result<Digest> tree_hash(ChainDisk& disk, const TreeHashOptions& options)
{
    auto builder = TreeBuilder::make(options.algorithm, options.block_size);
    if (!builder) {
        return std::move(builder).error();
    }
    Tree tree{.builder = std::move(builder).value(), .options = options};
    const auto make_worker = [&]() -> Result<std::unique_ptr<BlockWorker>> {
        auto hasher = crypto::Hasher::make(options.algorithm);
        if (!hasher) {
            return std::move(hasher).error();
        }
        return std::unique_ptr<BlockWorker>{
            std::make_unique<TreeWorker>(tree, std::move(hasher).value())};
    };
    const BlockWalk walk{.block_size = options.block_size,
                         .threads = options.threads,
                         .progress = options.progress,
                         .make_worker = make_worker};
    if (auto walked = walk_blocks(disk, walk); !walked) {
        return std::move(walked).error();
    }
    tree.tell_zeroes();
    return tree.builder.finish(disk.size());
}

namespace {

/// Adds the bytes in order; what is zero is hashed too, but not read.
class FlatWorker final : public BlockWorker {
public:
    explicit FlatWorker(crypto::Hasher& hasher) : hasher_{hasher} {}

    Status work(u64, std::span<const u8> bytes) override
    {
        bytes_ = bytes;
        return base::ok();
    }
    Status pass(u64, u64 length, bool zero) override
    {
        if (zero) {
            add_zero_bytes(hasher_, length);
        } else {
            hasher_.add(bytes_);
        }
        return base::ok();
    }

private:
    crypto::Hasher& hasher_;
    std::span<const u8> bytes_;
};

} // namespace

Result<Digest> flat_hash(ChainDisk& disk, crypto::Hash algorithm,
                         const std::function<bool(u64 done, u64 total)>& progress)
{
    auto hasher = crypto::Hasher::make(algorithm);
    if (!hasher) {
        return std::move(hasher).error();
    }
    const BlockWalk walk{.block_size = kTreeBlock,
                         .threads = 0,
                         .progress = progress,
                         .make_worker = [&]() -> Result<std::unique_ptr<BlockWorker>> {
                             return std::unique_ptr<BlockWorker>{
                                 std::make_unique<FlatWorker>(hasher.value())};
                         }};
    if (auto walked = walk_blocks(disk, walk); !walked) {
        return std::move(walked).error();
    }
    return finish(hasher.value(), crypto::digest_size(algorithm));
}

} // namespace img
