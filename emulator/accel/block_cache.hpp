// Translated blocks: found by where their bytes are, linked to each other, dropped when the bytes
// change.
//
// A block is known by the host address of its first byte (which page of guest RAM, whatever its
// physical or linear address of the moment), its program counter and its context. So remapping
// memory never needs a flush here.
#pragma once

#include "emulator/codegen/x64/compiler.hpp"
#include "emulator/memory/address_space.hpp"

#include <memory>
#include <unordered_map>
#include <vector>

namespace emu::accel {

using base::u32;
using base::u64;
using base::u8;

struct Block {
    const u8* host = nullptr;        // first guest byte
    const u8* second_page = nullptr; // page its first instruction reaches into, if any
    u32 pc = 0;
    u32 context = 0;
    u32 byte_length = 0;
    u32 instructions = 0;
    u32 executions = 0;  // in tier 0
    bool single = false; // holds one instruction because it was asked to
    bool dead = false;
    ir::Block ir; // emptied once code exists

    codegen::x64::CompiledBlock code; // entry is null until tier 1
    std::array<Block*, 2> link_targets{};
    struct Incoming {
        Block* from;
        unsigned exit;
    };
    std::vector<Incoming> incoming;
    Block* next_in_bucket = nullptr;

    bool two_pages() const { return second_page != nullptr; }
};

class BlockCache {
public:
    BlockCache();

    /// The host page that holds an address.
    static const u8* page_of(const u8* host);

    Block* find(const u8* host, u32 pc, u32 context, bool single) const;

    /// Takes the block and marks its pages as code. True if a page was newly marked.
    Block* insert(std::unique_ptr<Block> block);

    /// Lets exit `exit` of `from` jump straight to `to`. Both must have code.
    void link(Block& from, unsigned exit, Block& to);

    /// Do any of these bytes of guest RAM belong to a block?
    bool overlaps(const u8* host, u64 length) const;

    /// Drops the blocks that any of these bytes belong to, and tells which.
    std::vector<const Block*> invalidate(const u8* host, u64 length);

    /// Which lines of the page at `page` belong to blocks (RamBlock::code_lines()).
    u64 lines_of_page(const u8* page) const;

    void clear();

    /// The block whose code contains a return address from it.
    const Block* find_by_code(const u8* address) const;
    void note_compiled(Block& block);

    std::size_t live_blocks() const { return live_; }
    std::size_t dead_blocks() const { return blocks_.size() - live_; }

private:
    static constexpr std::size_t kBuckets = 1u << 16;
    static std::size_t bucket(const u8* host, u32 pc, u32 context);
    static bool covers(const Block& block, const u8* host, u64 length);
    /// The blocks that have bytes in a page, and which of its bytes those are.
    struct PageBlocks {
        std::vector<Block*> blocks;
        std::array<u64, kPageSize / 64> bytes{};
    };
    static bool any_byte(const PageBlocks& in, u64 offset, u64 length);
    static void mark_bytes(const u8* page, const Block& block, PageBlocks& in);
    void add_to_page(const u8* page, Block& block);
    void drop_from_page(const u8* page, Block& block);
    static void restore_stub(Block& block, unsigned exit);
    void unlink(Block& block);
    void remove(Block& block);

    std::vector<Block*> buckets_;
    std::vector<std::unique_ptr<Block>> blocks_;
    std::vector<Block*> by_code_; // ascending address: code is allocated front to back
    std::unordered_map<const u8*, PageBlocks> pages_;
    std::size_t live_ = 0;
};

} // namespace emu::accel
