#include "emulator/accel/block_cache.hpp"

#include <algorithm>

namespace emu::accel {

namespace {

bool ranges_meet(const u8* a, u64 a_length, const u8* b, u64 b_length)
{
    return a < b + b_length && b < a + a_length;
}

/// The bits of `from` and on, up to `end` (exclusive), that lie in the 64-bit word of `from`.
u64 word_mask(u64 from, u64 end)
{
    const u64 last = std::min(end - 1, from | 63);
    return (~u64{0} << from % 64) & (~u64{0} >> (63 - last % 64));
}

} // namespace

BlockCache::BlockCache() : buckets_(kBuckets, nullptr) {}

const u8* BlockCache::page_of(const u8* host)
{
    return reinterpret_cast<const u8*>(reinterpret_cast<u64>(host) & ~(kPageSize - 1));
}

std::size_t BlockCache::bucket(const u8* host, u32 pc, u32 context)
{
    const u64 key = reinterpret_cast<u64>(host) ^ (u64{pc} << 7) ^ (u64{context} << 23);
    return (key * 0x9e37'79b9'7f4a'7c15u) >> 48;
}

Block* BlockCache::find(const u8* host, u32 pc, u32 context, bool single) const
{
    for (Block* block = buckets_[bucket(host, pc, context)]; block != nullptr;
         block = block->next_in_bucket) {
        if (block->host == host && block->pc == pc && block->context == context &&
            block->single == single) {
            return block;
        }
    }
    return nullptr;
}

Block* BlockCache::insert(std::unique_ptr<Block> block)
{
    Block* added = block.get();
    blocks_.push_back(std::move(block));
    ++live_;
    Block*& head = buckets_[bucket(added->host, added->pc, added->context)];
    added->next_in_bucket = head;
    head = added;
    add_to_page(page_of(added->host), *added);
    if (added->two_pages()) {
        add_to_page(added->second_page, *added);
    }
    return added;
}

void BlockCache::link(Block& from, unsigned exit, Block& to)
{
    from.link_targets[exit] = &to;
    to.incoming.push_back({&from, exit});
    codegen::x64::Assembler::patch(from.code.exits[exit].jump, to.code.entry);
}

bool BlockCache::covers(const Block& block, const u8* host, u64 length)
{
    const u64 in_first = std::min<u64>(
        block.byte_length, kPageSize - static_cast<u64>(block.host - page_of(block.host)));
    return ranges_meet(block.host, in_first, host, length) ||
           (block.two_pages() &&
            ranges_meet(block.second_page, block.byte_length - in_first, host, length));
}

void BlockCache::add_to_page(const u8* page, Block& block)
{
    PageBlocks& here = pages_[page];
    here.blocks.push_back(&block);
    mark_bytes(page, block, here);
}

void BlockCache::drop_from_page(const u8* page, Block& block)
{
    const auto entry = pages_.find(page);
    PageBlocks& here = entry->second;
    std::erase(here.blocks, &block);
    if (here.blocks.empty()) {
        pages_.erase(entry);
        return;
    }
    here.bytes = {}; // bytes may belong to several blocks
    for (const Block* other : here.blocks) {
        mark_bytes(page, *other, here);
    }
}

void BlockCache::mark_bytes(const u8* page, const Block& block, PageBlocks& in)
{
    const auto start = static_cast<u64>(block.host - page_of(block.host));
    const u64 in_first = std::min<u64>(block.byte_length, kPageSize - start);
    const bool first = page == page_of(block.host);
    const u64 from = first ? start : 0;
    const u64 count = first ? in_first : block.byte_length - in_first;
    for (u64 at = from; at < from + count; at = (at / 64 + 1) * 64) {
        in.bytes[at / 64] |= word_mask(at, from + count);
    }
}

bool BlockCache::any_byte(const PageBlocks& in, u64 offset, u64 length)
{
    for (u64 at = offset; at < offset + length; at = (at / 64 + 1) * 64) {
        if ((in.bytes[at / 64] & word_mask(at, offset + length)) != 0) {
            return true;
        }
    }
    return false;
}

bool BlockCache::overlaps(const u8* host, u64 length) const
{
    const auto page = pages_.find(page_of(host));
    return page != pages_.end() &&
           any_byte(page->second, static_cast<u64>(host - page_of(host)), length);
}

std::vector<const Block*> BlockCache::invalidate(const u8* host, u64 length)
{
    std::vector<const Block*> dropped;
    const u8* const end = host + length;
    while (host < end) {
        const u8* const page = page_of(host);
        const u64 here =
            std::min<u64>(static_cast<u64>(end - host), kPageSize - static_cast<u64>(host - page));
        const auto found = pages_.find(page);
        if (found != pages_.end() && any_byte(found->second, static_cast<u64>(host - page), here)) {
            std::vector<Block*> victims;
            for (Block* block : found->second.blocks) {
                if (covers(*block, host, here)) {
                    victims.push_back(block);
                }
            }
            for (Block* block : victims) {
                remove(*block);
                dropped.push_back(block);
            }
        }
        host += here;
    }
    return dropped;
}

u64 BlockCache::lines_of_page(const u8* page) const
{
    u64 lines = 0;
    const auto found = pages_.find(page);
    if (found == pages_.end()) {
        return lines;
    }
    static_assert(RamBlock::kLineSize == 64, "one word of the byte map is one line");
    for (u64 line = 0; line < found->second.bytes.size(); ++line) {
        lines |= u64{found->second.bytes[line] != 0} << line;
    }
    return lines;
}

/// The exit goes to the dispatcher again.
void BlockCache::restore_stub(Block& block, unsigned exit)
{
    block.link_targets[exit] = nullptr;
    const auto& site = block.code.exits[exit];
    codegen::x64::Assembler::patch(site.jump, site.stub);
}

void BlockCache::unlink(Block& block)
{
    for (const Block::Incoming& link : block.incoming) {
        if (link.from->link_targets[link.exit] == &block) {
            restore_stub(*link.from, link.exit);
        }
    }
    block.incoming.clear();
    for (unsigned exit = 0; exit < block.link_targets.size(); ++exit) {
        if (block.link_targets[exit] != nullptr) {
            std::erase_if(block.link_targets[exit]->incoming,
                          [&](const Block::Incoming& link) { return link.from == &block; });
            restore_stub(block, exit);
        }
    }
}

/// The block's memory stays until clear(): it may be the one that is executing.
void BlockCache::remove(Block& block)
{
    unlink(block);
    block.dead = true;
    --live_;
    Block** link = &buckets_[bucket(block.host, block.pc, block.context)];
    while (*link != &block) {
        link = &(*link)->next_in_bucket;
    }
    *link = block.next_in_bucket;
    drop_from_page(page_of(block.host), block);
    if (block.two_pages()) {
        drop_from_page(block.second_page, block);
    }
}

void BlockCache::clear()
{
    std::ranges::fill(buckets_, nullptr);
    by_code_.clear();
    pages_.clear();
    blocks_.clear();
    live_ = 0;
}

const Block* BlockCache::find_by_code(const u8* address) const
{
    const auto after = std::ranges::upper_bound(by_code_, address, {},
                                                [](const Block* b) { return b->code.entry; });
    return after == by_code_.begin() ? nullptr : *std::prev(after);
}

void BlockCache::note_compiled(Block& block)
{
    by_code_.push_back(&block);
}

} // namespace emu::accel
