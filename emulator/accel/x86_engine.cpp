#include "emulator/accel/x86_engine.hpp"

#include "emulator/accel/x86_slow_paths.hpp"
#include "emulator/cpu/x86/helpers.hpp"
#include "emulator/ir/opt/dead_code.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>

namespace emu::accel {

namespace {

using codegen::x64::Exit;
using codegen::x64::Reg;

constexpr u32 kPageOffset = kPageSize - 1;
constexpr std::size_t kMaxDeadBlocks = 20'000; // their memory is reclaimed by a flush
constexpr std::size_t kMaxJumpsListed = 2048;  // beyond, the whole jump table is cleared
constexpr u32 kWarmExecutions = 2;             // interpreted this often before it is compiled

constexpr codegen::x64::Pinning x86_pinning()
{
    codegen::x64::Pinning pinning{};
    pinning.fill(codegen::x64::kNoReg);
    pinning[x86::kEax] = Reg::rax;
    pinning[x86::kEcx] = Reg::rcx;
    pinning[x86::kEdx] = Reg::rdx;
    pinning[x86::kEbx] = Reg::rbx;
    pinning[x86::kEsp] = Reg::r12;
    pinning[x86::kEbp] = Reg::r13;
    pinning[x86::kEsi] = Reg::rsi;
    pinning[x86::kEdi] = Reg::rdi;
    return pinning;
}
constexpr codegen::x64::Pinning kPinning = x86_pinning();

/// Adds the host time of its scope to a counter. Statistics only: nothing a guest can see.
class Stopwatch {
public:
    explicit Stopwatch(u64& total) : total_{total}, start_{std::chrono::steady_clock::now()} {}
    ~Stopwatch()
    {
        const auto spent = std::chrono::steady_clock::now() - start_;
        total_ +=
            static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count());
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

private:
    u64& total_;
    std::chrono::steady_clock::time_point start_;
};

} // namespace

/// Code bytes for the front end. Bytes outside RAM and ROM are read through their device into a
/// copy; blocks made from one are never kept.
class X86Engine::Fetcher final : public x86::CodeSource {
public:
    Fetcher(X86Engine& engine, u32 first_linear, const Place& place)
        : engine_{engine}, first_page_{first_linear & ~kPageOffset}
    {
        first_ = place.host != nullptr ? BlockCache::page_of(place.host)
                                       : copy(first_page_, first_copy_);
    }

    const u8* page(u32 linear) override
    {
        const u32 wanted = linear & ~kPageOffset;
        if (wanted == first_page_) {
            return first_;
        }
        if (second_ == nullptr) {
            Place place{};
            if (!engine_.locate(wanted, place)) {
                faulted_ = true;
                return nullptr;
            }
            second_place_ = place;
            second_ = place.host != nullptr ? place.host : copy(wanted, second_copy_);
        }
        return second_;
    }

    bool faulted() const { return faulted_; }
    bool used_second() const { return second_ != nullptr; }
    bool second_in_memory() const { return second_place_.host != nullptr; }
    const Place& second_place() const { return second_place_; }

private:
    const u8* copy(u32 linear, std::vector<u8>& into)
    {
        into.assign(kPageSize, 0xff);
        u64 physical = 0;
        if (x86::fetch_page(engine_.state_, linear, physical)) {
            engine_.memory_.read(physical, into);
        }
        return into.data();
    }

    X86Engine& engine_;
    u32 first_page_;
    const u8* first_ = nullptr;
    const u8* second_ = nullptr;
    Place second_place_{};
    std::vector<u8> first_copy_;
    std::vector<u8> second_copy_;
    bool faulted_ = false;
};

X86Engine::X86Engine(const X86CpuConfig& config, AddressSpace& memory)
    : memory_{memory}, tier_{config.tier}, buffer_{config.code_cache_bytes}, code_{buffer_.begin(),
                                                                                   buffer_.end()}
{
    state_.guest = &world_;
    world_.memory = &memory;
    world_.dispatcher = this;
    world_.intern_context = [this](u32 mode, u32 cs_base, u32 cs_limit) {
        Context& recent = recent_contexts_[(mode ^ (cs_base >> 4)) % recent_contexts_.size()];
        if (recent.mode == mode && recent.cs_base == cs_base && recent.cs_limit == cs_limit) {
            return recent.number;
        }
        const auto [entry, added] =
            contexts_.try_emplace({mode, cs_base, cs_limit}, static_cast<u32>(contexts_.size()));
        if (added) {
            context_list_.push_back({mode, cs_base, cs_limit, entry->second});
        }
        recent = context_list_[entry->second];
        return entry->second;
    };
    world_.translations_changed = [this](bool global_too) {
        ++statistics_.tlb_flushes;
        clear_jumps(local_jumps_);
        if (global_too) {
            clear_jumps(global_jumps_);
        }
    };
    for (const x86::HelperInfo& info : x86::helper_table()) {
        // A State is passed where the helper wants one: the two types differ in name only.
        using Untyped = void (*)();
        const auto function = reinterpret_cast<Untyped>(info.function);
        helpers_.push_back({reinterpret_cast<codegen::HelperFunction>(function),
                            (info.flags & x86::kHelperPure) != 0,
                            (info.flags & x86::kHelperWritesFlags) != 0});
    }
    runtime_ = make_x86_runtime(helpers_, true);
    runtime_alone_ = make_x86_runtime(helpers_, false);
    thunks_ = codegen::x64::emit_thunks(code_, kPinning, x86_slow_paths());
    code_start_ = code_.here();
    compiler_ = std::make_unique<codegen::x64::Compiler>(kPinning, thunks_, helpers_);
    memory_.set_code_listener(this);
}

X86Engine::~X86Engine()
{
    memory_.set_code_listener(nullptr);
}

X86Engine& X86Engine::of(ir::ExecState& state)
{
    return *static_cast<X86Engine*>(static_cast<x86::World*>(state.guest)->dispatcher);
}

bool X86Engine::locate(u32 linear, Place& place)
{
    u64 physical = 0;
    if (!x86::fetch_page(state_, linear, physical)) {
        return false;
    }
    const AddressSpace::Page& page = memory_.page(physical);
    place = {};
    if (page.block != nullptr) {
        place.block = page.block;
        place.offset = page.block_offset + (physical & kPageOffset);
        place.host = page.block->data() + place.offset;
    }
    return true;
}

void X86Engine::mark_code(RamBlock& block, u64 offset, u64 length)
{
    u64& lines = block.code_lines()[offset / kPageSize];
    if (lines == 0) {
        x86::protect_code_page(state_, BlockCache::page_of(block.data() + offset));
    }
    lines |= RamBlock::line_mask(offset % kPageSize, offset % kPageSize + length - 1);
}

/// Null when the bytes cannot be fetched: the fault has then been recorded.
std::unique_ptr<Block> X86Engine::translate(unsigned max_instructions, const Place& place)
{
    const Stopwatch watch{statistics_.translate_ns};
    const Context& context = context_list_[state_.context];
    auto block = std::make_unique<Block>();
    block->host = place.host;
    block->pc = state_.pc;
    block->context = state_.context;
    const u32 linear = context.cs_base + state_.pc;
    Fetcher fetcher{*this, linear, place};
    const x86::TranslateRequest request{.pc = state_.pc,
                                        .cs_base = context.cs_base,
                                        .cs_limit = context.cs_limit,
                                        .mode = context.mode,
                                        .max_instructions = max_instructions,
                                        .model = state_.model};
    const x86::Translation translation = x86::translate(request, fetcher, block->ir);
    if (translation.result == x86::TranslateResult::limit_fault) {
        x86::raise_fault(state_, x86::kGeneralProtection, 0);
        return nullptr;
    }
    if (translation.result == x86::TranslateResult::fetch_fault) {
        return nullptr;
    }
    if (fetcher.faulted()) { // the block ended before the page that cannot be fetched
        state_.fault_pending = false;
        state_.leave_request = 0;
    }
    assert(ir::verify(block->ir).empty());
    ir::remove_dead_code(block->ir);
    block->instructions = block->ir.instruction_count;
    block->byte_length = translation.byte_length;
    if ((linear & kPageOffset) + translation.byte_length > kPageSize) {
        if (fetcher.second_in_memory() && place.host != nullptr) {
            block->second_page = BlockCache::page_of(fetcher.second_place().host);
        } else {
            block->host = nullptr; // not kept
        }
    }
    ++statistics_.blocks_translated;
    statistics_.instructions_translated += block->instructions;
    statistics_.guest_bytes_translated += block->byte_length;
    if (block->host != nullptr) {
        const u64 in_first = std::min<u64>(block->byte_length, kPageSize - (linear & kPageOffset));
        mark_code(*place.block, place.offset, in_first);
        if (block->two_pages()) {
            const Place& second = fetcher.second_place();
            mark_code(*second.block, second.offset & ~u64{kPageOffset},
                      block->byte_length - in_first);
        }
    }
    return block;
}

/// The block at state.pc, ready to run; null when a fault was recorded, or when the code is not in
/// memory that blocks can be kept for (it has then been run).
Block* X86Engine::find_or_translate(bool single)
{
    const Context& context = context_list_[state_.context];
    const u32 linear = context.cs_base + state_.pc;
    Place place{};
    if (!locate(linear, place)) {
        return nullptr;
    }
    Block* block = place.host == nullptr
                       ? nullptr
                       : cache_.find(place.host, state_.pc, state_.context, single);
    if (block != nullptr && block->two_pages()) {
        Place second{};
        if (!locate((linear & ~kPageOffset) + kPageSize, second)) {
            return nullptr;
        }
        if (second.host != block->second_page) {
            cache_.invalidate(block->host, 1); // another page lies behind it now
            block = nullptr;
        }
    }
    if (block != nullptr) {
        return block;
    }
    constexpr unsigned kBlockLimit = 64;
    // A device is read for each instruction, however the run is cut: reading may change it.
    const bool alone = single || place.host == nullptr;
    std::unique_ptr<Block> made = translate(alone ? 1 : kBlockLimit, place);
    if (made == nullptr) {
        return nullptr;
    }
    made->single = single;
    if (made->host == nullptr) { // one instruction
        run_alone(made->ir, false);
        return nullptr;
    }
    return cache_.insert(std::move(made));
}

bool X86Engine::compile(Block& block)
{
    const Stopwatch watch{statistics_.compile_ns};
    const Context& context = context_list_[block.context];
    const codegen::x64::CompileRequest request{.block = &block.ir,
                                               .pc = block.pc,
                                               .linear_base = context.cs_base,
                                               .context = block.context,
                                               .user = (context.mode & x86::kModeUser) != 0,
                                               .single_page = !block.two_pages(),
                                               .likely_flag_op = static_cast<u8>(state_.flag_op),
                                               .cookie = reinterpret_cast<u64>(&block)};
    auto code = compiler_->compile(request, code_);
    if (!code) {
        return false;
    }
    block.code = std::move(*code);
    ++statistics_.blocks_compiled;
    statistics_.instructions_compiled += block.instructions;
    statistics_.guest_bytes_compiled += block.byte_length;
    statistics_.code_bytes += static_cast<u64>(block.code.end - block.code.entry);
    cache_.note_compiled(block);
    block.ir = {};
    return true;
}

void X86Engine::flush_code()
{
    ++statistics_.cache_flushes;
    cache_.clear();
    clear_jumps(local_jumps_);
    clear_jumps(global_jumps_);
    code_ = {code_start_, buffer_.end()};
}

void X86Engine::forget_translations()
{
    flush_code();
}

void X86Engine::clear_jumps(std::vector<base::u16>& listed)
{
    if (listed.size() > kMaxJumpsListed) {
        state_.jump.fill({});
    } else {
        for (const base::u16 index : listed) {
            state_.jump[index] = {};
        }
    }
    listed.clear();
}

/// Jumps into global pages survive the flush of a CR3 load, so they are listed apart.
void X86Engine::remember_jump(const Block& block)
{
    const Context& context = context_list_[block.context];
    const bool user = (context.mode & x86::kModeUser) != 0;
    const bool global =
        !block.two_pages() && world_.code_tlb.is_global(user ? 1 : 0, context.cs_base + block.pc);
    auto& listed = global ? global_jumps_ : local_jumps_;
    const unsigned index = ir::jump_index(block.pc);
    if (listed.size() <= kMaxJumpsListed) {
        listed.push_back(static_cast<base::u16>(index));
    }
    ir::JumpEntry& entry = state_.jump[index];
    entry.key = u64{block.pc} | (u64{block.context} << 32);
    entry.code = block.code.entry;
}

/// A fault or a helper left the block: the instruction it happened in counts as executed.
void X86Engine::after_leave()
{
    state_.leave_request = 0;
    state_.budget += static_cast<base::i64>(state_.pending) - 1;
    state_.pending = 0;
    if (state_.fault_pending) {
        ++faults_delivered_;
        x86::deliver_fault(state_);
    }
}

/// After find_or_translate() had no block: the instruction could not be fetched, unless it was code
/// that is not kept, which has run.
void X86Engine::deliver_fetch_fault()
{
    if (state_.fault_pending) {
        state_.pending = 1;
        state_.budget -= 1;
        after_leave();
    }
}

/// A block was left before an instruction that must run in a block of its own.
void X86Engine::run_left_instruction()
{
    state_.budget += state_.pending;
    state_.pending = 0;
    run_single(false);
}

void X86Engine::run_interpreted(const ir::Block& block)
{
    state_.budget -= block.instruction_count;
    const bool user = (state_.mode & x86::kModeUser) != 0;
    switch (codegen::interpret(block, user, state_, runtime_)) {
    case codegen::BlockEnd::next:
        break;
    case codegen::BlockEnd::left:
        after_leave();
        break;
    case codegen::BlockEnd::alone:
        run_left_instruction();
        break;
    }
}

/// A block of one instruction, or what generated code and run_interpreted() could not do.
void X86Engine::run_alone(const ir::Block& block, bool every_access_slow)
{
    state_.budget -= block.instruction_count;
    const bool user = (state_.mode & x86::kModeUser) != 0;
    codegen::Runtime runtime = runtime_alone_;
    runtime.every_access_slow = every_access_slow;
    if (codegen::interpret(block, user, state_, runtime) == codegen::BlockEnd::left) {
        after_leave();
    }
}

/// Less budget is left than the block at state.pc has instructions: run one, then look again.
void X86Engine::run_partial()
{
    if (state_.budget > 0) {
        run_single(false);
    }
}

void X86Engine::run_single(bool every_access_slow)
{
    Block* block = find_or_translate(true);
    if (block != nullptr) {
        run_alone(block->ir, every_access_slow);
    } else {
        deliver_fetch_fault();
    }
}

void X86Engine::run_some()
{
    if (cache_.dead_blocks() > kMaxDeadBlocks) {
        flush_code();
    }
    const ir::JumpEntry& known = state_.jump[ir::jump_index(state_.pc)];
    if (known.key == (u64{state_.pc} | (u64{state_.context} << 32))) {
        run_compiled(static_cast<const u8*>(known.code));
        return;
    }
    Block* block = find_or_translate(false);
    if (block == nullptr) {
        deliver_fetch_fault();
        return;
    }
    if (block->instructions > static_cast<u64>(state_.budget)) {
        run_partial();
        return;
    }
    if (block->code.entry == nullptr && tier_ != Tier::interpret &&
        (tier_ == Tier::compile || block->executions >= kWarmExecutions) && !compile(*block)) {
        flush_code(); // the cache was full; the block went with it
        return;
    }
    if (block->code.entry != nullptr) {
        remember_jump(*block);
        run_compiled(block->code.entry);
        return;
    }
    ++block->executions;
    run_interpreted(block->ir);
}

void X86Engine::run_compiled(const u8* code)
{
    const u64 result = thunks_.enter(&state_, code);
    switch (static_cast<Exit>(result)) {
    case Exit::plain:
        state_.pending = 0;
        break;
    case Exit::helper:
    case Exit::memory:
        after_leave();
        break;
    case Exit::interpret:
        run_left_instruction();
        break;
    case Exit::budget:
        state_.pending = 0;
        run_partial();
        break;
    default:
        state_.pending = 0;
        follow_link(result);
        break;
    }
}

void X86Engine::follow_link(u64 cookie)
{
    Block& from = *reinterpret_cast<Block*>(cookie & ~u64{7});
    const unsigned exit = cookie & 7;
    if (from.dead || state_.context != from.context || state_.attention != 0 ||
        state_.budget <= 0) {
        return;
    }
    const std::size_t flushes = statistics_.cache_flushes;
    Block* to = find_or_translate(false);
    if (to == nullptr) {
        deliver_fetch_fault();
        return;
    }
    if (statistics_.cache_flushes == flushes && !from.dead && to->code.entry != nullptr &&
        !to->two_pages()) {
        cache_.link(from, exit, *to);
    }
}

void X86Engine::recover(const u8* return_address)
{
    const Block* block = cache_.find_by_code(return_address);
    const auto offset = static_cast<u32>(return_address - block->code.entry);
    const auto& table = block->code.side_table;
    const auto entry =
        std::ranges::lower_bound(table, offset, {}, &codegen::x64::SideEntry::code_offset);
    assert(entry != table.end() && entry->code_offset == offset);
    state_.pc = entry->pc;
    state_.pending = block->instructions - entry->completed;
    if (entry->flag_op != codegen::x64::SideEntry::kFlagOpInState) {
        state_.flag_op = entry->flag_op;
    }
}

void X86Engine::code_written(RamBlock& block, u64 offset, u64 length)
{
    const auto dropped = cache_.invalidate(block.data() + offset, length);
    statistics_.blocks_invalidated += dropped.size();
    if (dropped.empty()) {
        return;
    }
    state_.attention = 1; // the running block may be among them: it ends at its next poll
    for (const Block* gone : dropped) {
        ir::JumpEntry& entry = state_.jump[ir::jump_index(gone->pc)];
        if (entry.code == gone->code.entry) {
            entry = {};
        }
    }
    for (u64 page = offset / kPageSize; page <= (offset + length - 1) / kPageSize; ++page) {
        block.code_lines()[page] = cache_.lines_of_page(block.data() + page * kPageSize);
    }
}

void X86Engine::map_changed()
{
    x86::flush_tlb(state_, true);
}

} // namespace emu::accel
