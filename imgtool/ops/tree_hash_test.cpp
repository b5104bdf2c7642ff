#include "imgtool/ops/tree_hash.hpp"

#include "imgtool/formats/raw/raw.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <algorithm>

using namespace img;
using test::need;

namespace {

using Bytes = std::vector<u8>;

/// A disk of these bytes (whole sectors). Its source is not `concurrent()` and tells of no holes.
std::unique_ptr<ChainDisk> disk_of(Bytes bytes)
{
    std::vector<Layer> layers;
    layers.push_back(
        {.image = need(open_alone(raw::kDriver, std::make_unique<MemorySource>(std::move(bytes)))),
         .path = "memory",
         .format = "raw"});
    return std::make_unique<ChainDisk>(std::move(layers), true);
}

Bytes sha256(const Bytes& bytes)
{
    Bytes digest(32);
    REQUIRE(crypto::digest(crypto::Hash::sha256, bytes, digest));
    return digest;
}

Bytes join(std::initializer_list<Bytes> parts)
{
    Bytes whole;
    for (const Bytes& part : parts) {
        whole.insert(whole.end(), part.begin(), part.end());
    }
    return whole;
}

Bytes big_endian(u64 number)
{
    Bytes bytes(8);
    for (int i = 7; i >= 0; --i, number >>= 8) {
        bytes[static_cast<std::size_t>(i)] = static_cast<u8>(number);
    }
    return bytes;
}

/// The definition in tree_hash.hpp, word by word.
Bytes by_definition(Bytes bytes, u64 block)
{
    const u64 size = bytes.size();
    u64 blocks = 1;
    while (blocks * block < size) {
        blocks *= 2;
    }
    bytes.resize(blocks * block);
    std::vector<Bytes> level;
    for (u64 i = 0; i < blocks; ++i) {
        const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(i * block);
        level.push_back(
            sha256(join({{0}, Bytes(begin, begin + static_cast<std::ptrdiff_t>(block))})));
    }
    while (level.size() > 1) {
        std::vector<Bytes> next;
        for (std::size_t i = 0; i < level.size(); i += 2) {
            next.push_back(sha256(join({{1}, level[i], level[i + 1]})));
        }
        level = next;
    }
    const std::string label = "imgtool tree v1\n";
    return sha256(join(
        {{2}, Bytes(label.begin(), label.end()), big_endian(size), big_endian(block), level[0]}));
}

Bytes tree_of(const Bytes& bytes, u64 block, unsigned threads = 0)
{
    const auto disk = disk_of(bytes);
    const Digest digest = need(tree_hash(*disk, {.block_size = block, .threads = threads}));
    return {digest.view().begin(), digest.view().end()};
}

} // namespace

TEST_CASE("tree hash: known digests")
{
    const auto hex = [](const Bytes& bytes, u64 block) {
        return need(tree_hash(*disk_of(bytes), {.block_size = block})).hex();
    };
    CHECK(hex(Bytes(4096), 4096) ==
          "a58bebcf0856fabfaa8c86cf482978ba05c4a8a97a7c4e8a9b373ba4dd0666f1");
    CHECK(hex(Bytes(10'240, 0x61), 4096) ==
          "2ea320bb8aca242b8d5e69edbd2f7f0c17ca8ed6beb67c38f8e396040455d3d4");
    CHECK(hex({}, kTreeBlock) ==
          "4b146db0fe1d22f3c0502d5ee2b082dfc92b2fb672dfb36095a07b8012b55840");
}

TEST_CASE("tree hash: is as defined, for any number of blocks and threads")
{
    for (const std::size_t size : {0, 512, 4096, 4608, 3 * 4096, 5 * 4096, 8 * 4096, 100'352}) {
        INFO(size);
        Bytes bytes = test::noise(size, 7);
        CHECK(tree_of(bytes, 4096) == by_definition(bytes, 4096));
        std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(size / 4),
                  bytes.begin() + static_cast<std::ptrdiff_t>(size - size / 4), u8{0});
        for (const unsigned threads : {1U, 5U}) {
            CHECK(tree_of(bytes, 4096, threads) == by_definition(bytes, 4096));
            CHECK(tree_of(bytes, 8192, threads) == by_definition(bytes, 8192));
        }
    }
}

TEST_CASE("tree hash: the size counts, not only what is there")
{
    CHECK(tree_of(Bytes(4096, 1), 4096) != tree_of(Bytes(3584, 1), 4096));
    CHECK(tree_of(Bytes(4096), 4096) != tree_of(Bytes(8192), 4096));
    CHECK(tree_of(Bytes(8192), 4096) != tree_of(Bytes(8192), 8192));
}

TEST_CASE("tree hash: an exabyte of nothing takes no time")
{
    TreeBuilder builder = need(TreeBuilder::make(crypto::Hash::sha256, kTreeBlock));
    REQUIRE(builder.add_zeroes((u64{1} << 40) - 3));
    const Digest a = need(builder.finish((u64{1} << 60) - 3 * kTreeBlock));
    TreeBuilder other = need(TreeBuilder::make(crypto::Hash::sha256, kTreeBlock));
    for (const u64 blocks : {u64{1}, u64{2}, u64{5}, (u64{1} << 40) - 11}) {
        REQUIRE(other.add_zeroes(blocks));
    }
    CHECK(need(other.finish((u64{1} << 60) - 3 * kTreeBlock)) == a);
}

TEST_CASE("tree hash: visits every block once, zero ones together")
{
    Bytes bytes(6 * 4096 + 512);
    bytes[2 * 4096 + 5] = 1;
    bytes[6 * 4096 + 5] = 1;
    std::vector<TreeBlock> seen;
    REQUIRE(tree_hash(*disk_of(bytes), {.block_size = 4096, .visit = [&](const TreeBlock& block) {
                                            seen.push_back(block);
                                        }}));
    REQUIRE(seen.size() == 4);
    CHECK((seen[0].offset == 0 && seen[0].length == 8192 && seen[0].zero));
    CHECK((seen[1].offset == 8192 && seen[1].length == 4096 && !seen[1].zero));
    CHECK((seen[2].offset == 12288 && seen[2].length == 12288 && seen[2].zero));
    CHECK((seen[3].offset == 24576 && seen[3].length == 512 && !seen[3].zero));
    CHECK(seen[0].digest == seen[2].digest);
}

TEST_CASE("tree hash: refuses block sizes that are none, and stops when told to")
{
    for (const u64 block : {u64{0}, u64{2048}, u64{5000}, u64{32} << 20}) {
        CHECK(!tree_hash(*disk_of(Bytes(100)), {.block_size = block}));
    }
    const auto stopped =
        tree_hash(*disk_of(Bytes(100'000, 1)),
                  {.block_size = 4096, .progress = [](u64 done, u64) { return done < 40'000; }});
    REQUIRE(!stopped);
    CHECK(stopped.error().message == "interrupted");
}

TEST_CASE("flat hash: is the digest of the bytes")
{
    Bytes bytes = test::noise(3'072'000, 9);
    std::fill(bytes.begin() + 100'000, bytes.begin() + 2'500'000, u8{0});
    const Digest digest = need(flat_hash(*disk_of(bytes), crypto::Hash::sha256));
    CHECK(Bytes(digest.view().begin(), digest.view().end()) == sha256(bytes));
    CHECK(need(flat_hash(*disk_of({}), crypto::Hash::sha256)).hex() ==
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
