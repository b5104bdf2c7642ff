// Finds, makes, runs and drops translated blocks for an x86 CPU. The Cpu above it decides when.
#pragma once

#include "emulator/accel/block_cache.hpp"
#include "emulator/accel/code_buffer.hpp"
#include "emulator/accel/x86_cpu.hpp"
#include "emulator/codegen/interpreter/interpreter.hpp"
#include "emulator/cpu/x86/system.hpp"
#include "emulator/translate/x86/translator.hpp"

#include <map>
#include <tuple>

namespace emu::accel {

/// What `info jit` reports. Counts since power-on.
struct EngineStatistics {
    u64 blocks_translated = 0;
    u64 instructions_translated = 0;
    u64 guest_bytes_translated = 0;
    u64 blocks_compiled = 0;
    u64 instructions_compiled = 0;
    u64 guest_bytes_compiled = 0;
    u64 code_bytes = 0;
    u64 translate_ns = 0; // host time, front end and passes
    u64 compile_ns = 0;   // host time, code generation
    u64 cache_flushes = 0;
    u64 blocks_invalidated = 0;
    u64 tlb_flushes = 0;
};

class X86Engine final : public CodeListener {
public:
    X86Engine(const X86CpuConfig& config, AddressSpace& memory);
    ~X86Engine() override;

    x86::State& state() { return state_; }
    x86::World& world() { return world_; }

    /// Runs from state.pc until something is to be decided at an instruction boundary, at most
    /// until state.budget is used up (it must be at least 1 on entry). Faults are delivered.
    void run_some();

    /// Runs exactly one instruction. `every_access_slow`: breakpoints and alignment are checked.
    void run_single(bool every_access_slow);

    /// Everything derived from guest state is forgotten (a snapshot was loaded).
    void forget_translations();

    const EngineStatistics& statistics() const { return statistics_; }
    u64 code_bytes_used() const { return static_cast<u64>(code_.here() - buffer_.begin()); }
    u64 code_bytes_total() const { return buffer_.size(); }
    u64 faults_delivered() const { return faults_delivered_; }
    std::size_t live_blocks() const { return cache_.live_blocks(); }

    // CodeListener
    void code_written(RamBlock& block, u64 offset, u64 length) override;
    void map_changed() override;

    static X86Engine& of(ir::ExecState& state);

    // For the slow paths.
    const BlockCache& cache() const { return cache_; }
    /// Restores what only the side table knows at a slow access: program counter, flag record,
    /// instruction count.
    void recover(const u8* return_address);

private:
    class Fetcher;

    struct Place {
        const u8* host; // of the byte at state.pc; null when it is not in RAM or ROM
        RamBlock* block;
        u64 offset; // in the block
    };
    bool locate(u32 linear, Place& place);
    Block* find_or_translate(bool single);
    std::unique_ptr<Block> translate(unsigned max_instructions, const Place& place);
    void mark_code(RamBlock& block, u64 offset, u64 length);
    bool compile(Block& block);
    void flush_code();
    void run_interpreted(const ir::Block& block);
    void run_alone(const ir::Block& block, bool every_access_slow);
    void run_compiled(const u8* code);
    void run_partial();
    void after_leave();
    void deliver_fetch_fault();
    void run_left_instruction();
    void follow_link(u64 cookie);
    void remember_jump(const Block& block);
    void clear_jumps(std::vector<base::u16>& listed);

    AddressSpace& memory_;
    Tier tier_;
    x86::State state_;
    x86::World world_;
    BlockCache cache_;
    CodeBuffer buffer_;
    codegen::x64::Assembler code_;
    u8* code_start_ = nullptr; // behind the thunks
    codegen::x64::Thunks thunks_;
    std::vector<codegen::Helper> helpers_;
    codegen::Runtime runtime_{};       // for blocks
    codegen::Runtime runtime_alone_{}; // for blocks of one instruction
    std::unique_ptr<codegen::x64::Compiler> compiler_;
    std::map<std::tuple<u32, u32, u32>, u32> contexts_;
    struct Context {
        u32 mode;
        u32 cs_base;
        u32 cs_limit;
        u32 number;
    };
    std::vector<Context> context_list_;
    std::array<Context, 64> recent_contexts_{}; // real-mode code changes CS often
    ir::Block scratch_ir_;
    u64 faults_delivered_ = 0;
    // Indices into state_.jump that were filled since the last flush.
    std::vector<base::u16> local_jumps_;
    std::vector<base::u16> global_jumps_;
    EngineStatistics statistics_;
};

} // namespace emu::accel
