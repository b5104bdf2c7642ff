#include "emulator/codegen/interpreter/interpreter.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace emu::codegen {

namespace {

using base::i16;
using base::i32;
using base::i64;
using base::i8;
using ir::Inst;
using ir::Op;

constexpr u64 mask_of(unsigned size)
{
    return size == 8 ? ~u64{0} : (u64{1} << (8 * size)) - 1;
}

constexpr u64 sign_extend_to_32(u64 value, unsigned size)
{
    switch (size) {
    case 1:
        return static_cast<u32>(static_cast<i8>(value));
    case 2:
        return static_cast<u32>(static_cast<i16>(value));
    default:
        return static_cast<u32>(value);
    }
}

u64 rotate_left(u64 value, unsigned count, unsigned size)
{
    const unsigned width = 8 * size;
    count %= width;
    value &= mask_of(size);
    return count == 0 ? value : ((value << count) | (value >> (width - count))) & mask_of(size);
}

u64 binary(const Inst& inst, u64 a, u64 b)
{
    const unsigned count = static_cast<unsigned>(b) & (inst.size == 8 ? 63 : 31);
    switch (inst.op) {
    case Op::add:
        return a + b;
    case Op::sub:
        return a - b;
    case Op::and_:
        return a & b;
    case Op::or_:
        return a | b;
    case Op::xor_:
        return a ^ b;
    case Op::mul:
        return a * b;
    case Op::shl:
        return a << count;
    case Op::shr:
        return (a & mask_of(inst.size)) >> count;
    case Op::sar:
        return inst.size == 8 ? static_cast<u64>(static_cast<i64>(a) >> count)
                              : static_cast<u64>(static_cast<i32>(a) >> count);
    case Op::rol:
        return rotate_left(a, static_cast<unsigned>(b), inst.size);
    case Op::ror:
        return rotate_left(a, 8 * inst.size - static_cast<unsigned>(b) % (8 * inst.size),
                           inst.size);
    case Op::seteq:
        return ((a ^ b) & mask_of(inst.size)) == 0;
    default: // setltu
        return (a & mask_of(inst.size)) < (b & mask_of(inst.size));
    }
}

u64 unary(const Inst& inst, u64 a)
{
    switch (inst.op) {
    case Op::neg:
        return 0 - a;
    case Op::not_:
        return ~a;
    case Op::bswap:
        return inst.size == 8 ? __builtin_bswap64(a) : __builtin_bswap32(static_cast<u32>(a));
    case Op::zx:
        return a & mask_of(inst.size);
    case Op::sx:
        return sign_extend_to_32(a, inst.size);
    case Op::gethi:
        return (a >> 8) & 0xff;
    case Op::bsf:
        return static_cast<u64>(std::countr_zero(a & mask_of(inst.size)));
    default: // bsr
        return 63u - static_cast<u64>(std::countl_zero(a & mask_of(inst.size)));
    }
}

class Interpreter {
public:
    Interpreter(const ir::Block& block, bool user, ir::ExecState& state, const Runtime& runtime)
        : block_{block}, user_{user}, state_{state}, runtime_{runtime}
    {}

    BlockEnd run()
    {
        state_.pending = block_.instruction_count + 1;
        for (const Inst& inst : block_.insts) {
            switch (step(inst)) {
            case Step::go_on:
                break;
            case Step::block_done:
                state_.pending = 0;
                return BlockEnd::next;
            case Step::left:
                return BlockEnd::left;
            case Step::alone:
                return BlockEnd::alone;
            }
        }
        return BlockEnd::left; // unreachable in a verified block
    }

private:
    enum class Step : u8 { go_on, block_done, left, alone };

    u64 value(ir::Slot slot, u32 imm) const { return slot == ir::kImm ? imm : state_.slot[slot]; }
    u64 optional_value(ir::Slot slot, u32 imm) const
    {
        return slot == ir::kNone ? 0 : value(slot, imm);
    }
    void set(const Inst& inst, u64 result)
    {
        state_.slot[inst.d] = inst.size == 8 ? result : static_cast<u32>(result);
    }
    u32 flags() const
    {
        return ir::compute_flags(static_cast<u8>(state_.flag_op), state_.flag_result,
                                 state_.flag_source);
    }
    bool condition(const Inst& inst) const
    {
        return ir::condition_holds(static_cast<ir::Cond>(inst.aux), flags());
    }
    Step go_to(u32 pc)
    {
        state_.pc = pc;
        return Step::block_done;
    }

    static Step after(Outcome outcome)
    {
        constexpr std::array<Step, 3> kSteps{Step::go_on, Step::left, Step::alone};
        return kSteps[static_cast<std::size_t>(outcome)];
    }

    Step step(const Inst& inst);
    Step memory(const Inst& inst);
    Step call(const Inst& inst);
    Step leave(const Inst& inst);
    void set_flags(const Inst& inst);
    void put(const Inst& inst);
    void multiply(const Inst& inst);
    void lea(const Inst& inst);

    const ir::Block& block_;
    bool user_;
    ir::ExecState& state_;
    const Runtime& runtime_;
};

void Interpreter::set_flags(const Inst& inst)
{
    const auto kind = static_cast<ir::FlagKind>(inst.aux);
    const u64 a = state_.slot[inst.a];
    const u64 b = optional_value(inst.b, inst.imm);
    if (kind < ir::FlagKind::stored_kinds_) {
        state_.flag_op = ir::flag_op(kind, inst.size);
        state_.flag_result = kind == ir::FlagKind::raw ? a & ir::kArithmeticFlags : a;
        state_.flag_source = b;
        return;
    }
    const u64 c = optional_value(inst.c, inst.imm);
    state_.flag_result = ir::evaluate_raw_kind(kind, inst.size, flags(), a, b, c);
    state_.flag_op = ir::flag_op(ir::FlagKind::raw, 4);
    state_.flag_source = 0;
}

void Interpreter::put(const Inst& inst)
{
    const u64 old = state_.slot[inst.d];
    const u64 a = state_.slot[inst.a];
    u64& d = state_.slot[inst.d];
    if (inst.op == Op::put8l) {
        d = (old & ~u64{0xff}) | (a & 0xff);
    } else if (inst.op == Op::put8h) {
        d = (old & ~u64{0xff00}) | ((a & 0xff) << 8);
    } else {
        d = (old & ~u64{0xffff}) | (a & 0xffff);
    }
}

void Interpreter::multiply(const Inst& inst)
{
    const u64 a = state_.slot[inst.a];
    const u64 b = value(inst.b, inst.imm);
    const u64 product = inst.op == Op::mulu
                            ? u64{static_cast<u32>(a)} * static_cast<u32>(b)
                            : static_cast<u64>(i64{static_cast<i32>(a)} * static_cast<i32>(b));
    state_.slot[inst.d] = static_cast<u32>(product);
    state_.slot[inst.c] = product >> 32;
}

void Interpreter::lea(const Inst& inst)
{
    u64 sum = inst.imm;
    if (inst.a != ir::kNone) {
        sum += state_.slot[inst.a];
    }
    if (inst.b != ir::kNone) {
        sum += state_.slot[inst.b] << inst.aux;
    }
    state_.slot[inst.d] = sum & mask_of(inst.size == 8 ? 8 : inst.size);
}

Interpreter::Step Interpreter::memory(const Inst& inst)
{
    const auto linear = static_cast<u32>(state_.slot[inst.a]);
    const ir::TlbEntry& entry = state_.tlb[user_ ? 1 : 0][ir::tlb_index(linear)];
    // A page address never has low bits, so the tag of no entry matches 1.
    const u32 last_page = runtime_.every_access_slow ? 1 : (linear + inst.size - 1) & ~u32{0xfff};
    if (inst.op == Op::st) {
        const u64 from = value(inst.b, inst.imm);
        if (entry.write_tag == last_page) {
            std::memcpy(reinterpret_cast<void*>(linear + entry.addend), &from, inst.size);
            return Step::go_on;
        }
        return after(runtime_.store(state_, linear, inst.size, user_, from & mask_of(inst.size)));
    }
    u64 loaded = 0;
    const bool write_follows = (inst.aux & 2) != 0;
    if ((write_follows ? entry.write_tag : entry.read_tag) == last_page) {
        std::memcpy(&loaded, reinterpret_cast<const void*>(linear + entry.addend), inst.size);
    } else {
        const Outcome outcome =
            runtime_.load(state_, linear, inst.size, user_, write_follows, loaded);
        if (outcome != Outcome::done) {
            return after(outcome);
        }
    }
    state_.slot[inst.d] = (inst.aux & 1) != 0 ? sign_extend_to_32(loaded, inst.size) : loaded;
    return Step::go_on;
}

Interpreter::Step Interpreter::call(const Inst& inst)
{
    const Helper& helper = runtime_.helpers[inst.imm];
    const u32 result = helper.function(state_, static_cast<u32>(optional_value(inst.a, 0)),
                                       static_cast<u32>(optional_value(inst.b, 0)),
                                       static_cast<u32>(optional_value(inst.c, 0)));
    if (state_.leave_request != 0) {
        return Step::left;
    }
    if (inst.d != ir::kNone) {
        state_.slot[inst.d] = result;
    }
    return Step::go_on;
}

Interpreter::Step Interpreter::leave(const Inst& inst)
{
    switch (inst.op) {
    case Op::poll:
        if (state_.attention == 0) {
            return Step::go_on;
        }
        state_.budget += static_cast<i64>(state_.pending) - 1; // instructions after this one
        return go_to(inst.imm);
    case Op::exit:
        return go_to(inst.imm);
    case Op::exitcc:
        return condition(inst) ? go_to(inst.imm) : Step::go_on;
    case Op::exitnz:
        return (state_.slot[inst.a] & mask_of(inst.size)) != 0 ? go_to(inst.imm) : Step::go_on;
    case Op::exitz:
        return (state_.slot[inst.a] & mask_of(inst.size)) == 0 ? go_to(inst.imm) : Step::go_on;
    case Op::exitind:
        return go_to(static_cast<u32>(state_.slot[inst.a]));
    default:
        return Step::block_done;
    }
}

Interpreter::Step Interpreter::step(const Inst& inst)
{
    switch (inst.op) {
    case Op::nop:
        return Step::go_on;
    case Op::insn:
        state_.pc = inst.imm;
        --state_.pending;
        return Step::go_on;
    case Op::mov:
        set(inst, value(inst.b, inst.imm));
        return Step::go_on;
    case Op::add:
    case Op::sub:
    case Op::and_:
    case Op::or_:
    case Op::xor_:
    case Op::mul:
    case Op::shl:
    case Op::shr:
    case Op::sar:
    case Op::rol:
    case Op::ror:
    case Op::seteq:
    case Op::setltu:
        set(inst, binary(inst, state_.slot[inst.a], value(inst.b, inst.imm)));
        return Step::go_on;
    case Op::neg:
    case Op::not_:
    case Op::bswap:
    case Op::zx:
    case Op::sx:
    case Op::gethi:
    case Op::bsf:
    case Op::bsr:
        set(inst, unary(inst, state_.slot[inst.a]));
        return Step::go_on;
    case Op::put8l:
    case Op::put8h:
    case Op::put16:
        put(inst);
        return Step::go_on;
    case Op::mulu:
    case Op::muls:
        multiply(inst);
        return Step::go_on;
    case Op::lea:
        lea(inst);
        return Step::go_on;
    case Op::flags:
        set_flags(inst);
        return Step::go_on;
    case Op::getflags:
        state_.slot[inst.d] = flags();
        return Step::go_on;
    case Op::getcf:
        state_.slot[inst.d] = ir::compute_carry(static_cast<u8>(state_.flag_op), state_.flag_result,
                                                state_.flag_source);
        return Step::go_on;
    case Op::setcc:
        state_.slot[inst.d] = condition(inst) ? 1 : 0;
        return Step::go_on;
    case Op::select:
        set(inst, condition(inst) ? state_.slot[inst.a] : value(inst.b, inst.imm));
        return Step::go_on;
    case Op::ld:
    case Op::st:
        return memory(inst);
    case Op::segchk: {
        const u32 size = inst.imm & 0xff;
        const bool write = (inst.imm & 0x100) != 0;
        const auto offset = static_cast<u32>(state_.slot[inst.a]);
        const auto& ends = write ? state_.segment_write_end : state_.segment_read_end;
        const bool fine = u64{offset} + size <= ends[inst.aux];
        return fine || runtime_.check_segment(state_, inst.aux, offset, size, write) ? Step::go_on
                                                                                     : Step::left;
    }
    case Op::segbase:
        state_.slot[inst.d] = static_cast<u32>(state_.slot[inst.a]) + state_.segment_base[inst.aux];
        state_.slot[inst.d] &= 0xffff'ffff;
        return Step::go_on;
    case Op::ldstate: {
        u64 loaded = 0;
        std::memcpy(&loaded, reinterpret_cast<const u8*>(&state_) + inst.imm, inst.size);
        state_.slot[inst.d] = loaded;
        return Step::go_on;
    }
    case Op::ststate: {
        const u64 from = state_.slot[inst.b];
        std::memcpy(reinterpret_cast<u8*>(&state_) + inst.imm, &from, inst.size);
        return Step::go_on;
    }
    case Op::call:
        return call(inst);
    case Op::setpc:
        state_.pc = static_cast<u32>(value(inst.b, inst.imm));
        return Step::go_on;
    default:
        return leave(inst);
    }
}

} // namespace

BlockEnd interpret(const ir::Block& block, bool user, ir::ExecState& state, const Runtime& runtime)
{
    return Interpreter{block, user, state, runtime}.run();
}

} // namespace emu::codegen
