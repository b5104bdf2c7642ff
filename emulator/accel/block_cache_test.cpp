#include "emulator/accel/block_cache.hpp"

#include <array>
#include <catch2/catch.hpp>

namespace emu::accel {
namespace {

alignas(kPageSize) constexpr std::array<u8, 2 * kPageSize> kPages{};

Block* add(BlockCache& cache, u64 offset, u32 length, bool second_page = false)
{
    auto block = std::make_unique<Block>();
    block->host = kPages.data() + offset;
    block->pc = static_cast<u32>(offset);
    block->byte_length = length;
    block->second_page = second_page ? kPages.data() + kPageSize : nullptr;
    return cache.insert(std::move(block));
}

TEST_CASE("block cache: only a block's own bytes overlap it", "[accel]")
{
    BlockCache cache;
    add(cache, 0x3c, 8); // across a 64-byte line
    CHECK_FALSE(cache.overlaps(kPages.data() + 0x38, 4));
    CHECK(cache.overlaps(kPages.data() + 0x39, 4));
    CHECK(cache.overlaps(kPages.data() + 0x43, 1));
    CHECK_FALSE(cache.overlaps(kPages.data() + 0x44, 8));
    CHECK(cache.lines_of_page(kPages.data()) == 3);
}

TEST_CASE("block cache: bytes shared by two blocks are code until both are dropped", "[accel]")
{
    BlockCache cache;
    add(cache, 0x100, 16);
    add(cache, 0x108, 16);
    CHECK(cache.invalidate(kPages.data() + 0x100, 1).size() == 1);
    CHECK_FALSE(cache.overlaps(kPages.data() + 0x100, 8));
    CHECK(cache.overlaps(kPages.data() + 0x108, 1));
    CHECK(cache.invalidate(kPages.data() + 0x110, 4).size() == 1);
    CHECK_FALSE(cache.overlaps(kPages.data(), kPageSize));
    CHECK(cache.invalidate(kPages.data(), kPageSize).empty());
}

TEST_CASE("block cache: a block that reaches into the next page is code in both", "[accel]")
{
    BlockCache cache;
    add(cache, kPageSize - 2, 5, true);
    CHECK(cache.overlaps(kPages.data() + kPageSize - 1, 1));
    CHECK(cache.overlaps(kPages.data() + kPageSize + 2, 1));
    CHECK_FALSE(cache.overlaps(kPages.data() + kPageSize + 3, 1));
    CHECK(cache.invalidate(kPages.data() + kPageSize, 1).size() == 1);
    CHECK_FALSE(cache.overlaps(kPages.data() + kPageSize - 2, 2));
}

} // namespace
} // namespace emu::accel
