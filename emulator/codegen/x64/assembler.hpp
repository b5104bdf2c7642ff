// Emits x86-64 machine code into a bounded buffer. Encodings: Intel SDM vol. 2, ch. 2.
//
// No checks per byte: a caller reserves room for one IR op (kMaxOpBytes) and asks room() before
// each.
#pragma once

#include "base/types.hpp"

#include <cstring>
#include <span>

namespace emu::codegen::x64 {

using base::i32;
using base::u32;
using base::u64;
using base::u8;

enum Reg : u8 {
    rax,
    rcx,
    rdx,
    rbx,
    rsp,
    rbp,
    rsi,
    rdi,
    r8,
    r9,
    r10,
    r11,
    r12,
    r13,
    r14,
    r15,
    kNoReg = 0xff
};

/// The eight classic operations, numbered as their /digit.
enum class Alu : u8 { add, or_, adc, sbb, and_, sub, xor_, cmp };
enum class Shift : u8 { rol, ror, rcl, rcr, shl, shr, sar = 7 };

/// Host conditions have the numbers of ir::Cond.
using HostCond = u8;

struct Mem {
    Reg base;
    i32 disp = 0;
    Reg index = kNoReg;
    u8 scale = 0; // log2
};

class Assembler {
public:
    Assembler() = default;
    Assembler(u8* start, u8* end) : at_{start}, end_{end} {}

    u8* here() const { return at_; }
    std::size_t room() const { return static_cast<std::size_t>(end_ - at_); }

    void byte(unsigned value) { *at_++ = static_cast<u8>(value); }
    void imm32(u32 value)
    {
        std::memcpy(at_, &value, 4);
        at_ += 4;
    }
    void imm64(u64 value)
    {
        std::memcpy(at_, &value, 8);
        at_ += 8;
    }

    // ALU. `size` 1, 2, 4 or 8.
    void alu(Alu op, unsigned size, Reg d, Reg s)
    {
        op_reg(size, static_cast<u8>(op) * 8 + (size == 1 ? 2 : 3), d, s);
    }
    void alu(Alu op, unsigned size, Reg d, const Mem& s)
    {
        op_mem(size, static_cast<u8>(op) * 8 + (size == 1 ? 2 : 3), d, s);
    }
    void alu_store(Alu op, unsigned size, const Mem& d, Reg s)
    {
        op_mem(size, static_cast<u8>(op) * 8 + (size == 1 ? 0 : 1), s, d);
    }
    void alu_imm(Alu op, unsigned size, Reg d, u32 imm)
    {
        const bool short_imm = size == 1 || fits8(imm, size);
        op_reg(size, size == 1 ? 0x80 : short_imm ? 0x83 : 0x81, static_cast<Reg>(op), d);
        immediate(size, imm, short_imm);
    }
    void alu_imm(Alu op, unsigned size, const Mem& d, u32 imm)
    {
        const bool short_imm = size == 1 || fits8(imm, size);
        op_mem(size, size == 1 ? 0x80 : short_imm ? 0x83 : 0x81, static_cast<Reg>(op), d);
        immediate(size, imm, short_imm);
    }
    void test(unsigned size, Reg a, Reg b) { op_reg(size, size == 1 ? 0x84 : 0x85, b, a); }
    void test_imm(unsigned size, Reg a, u32 imm)
    {
        op_reg(size, size == 1 ? 0xf6 : 0xf7, static_cast<Reg>(0), a);
        immediate(size, imm, size == 1);
    }
    void test_imm(unsigned size, const Mem& a, u32 imm)
    {
        op_mem(size, size == 1 ? 0xf6 : 0xf7, static_cast<Reg>(0), a);
        immediate(size, imm, size == 1);
    }
    void shift_imm(Shift op, unsigned size, Reg d, u8 count)
    {
        op_reg(size, size == 1 ? 0xc0 : 0xc1, static_cast<Reg>(op), d);
        byte(count);
    }
    void shift_cl(Shift op, unsigned size, Reg d)
    {
        op_reg(size, size == 1 ? 0xd2 : 0xd3, static_cast<Reg>(op), d);
    }
    void neg(unsigned size, Reg d)
    {
        op_reg(size, size == 1 ? 0xf6 : 0xf7, static_cast<Reg>(3), d);
    }
    void not_(unsigned size, Reg d)
    {
        op_reg(size, size == 1 ? 0xf6 : 0xf7, static_cast<Reg>(2), d);
    }
    void imul(unsigned size, Reg d, Reg s) { op0f_reg(size, 0xaf, d, s); }
    void imul_imm(unsigned size, Reg d, Reg s, u32 imm)
    {
        op_reg(size, 0x69, d, s);
        immediate(size, imm, false);
    }
    void bswap(unsigned size, Reg d)
    {
        rex(size, kNoReg, kNoReg, d, false);
        byte(0x0f);
        byte(0xc8 + (d & 7));
    }
    void bsf(unsigned size, Reg d, Reg s) { op0f_reg(size, 0xbc, d, s); }
    void bsr(unsigned size, Reg d, Reg s) { op0f_reg(size, 0xbd, d, s); }
    void bt_imm(unsigned size, const Mem& a, u8 bit)
    {
        op0f_mem(size, 0xba, static_cast<Reg>(4), a);
        byte(bit);
    }
    void bt_imm(unsigned size, Reg a, u8 bit)
    {
        op0f_reg(size, 0xba, static_cast<Reg>(4), a);
        byte(bit);
    }

    // Moves.
    void mov(unsigned size, Reg d, Reg s)
    {
        if (d != s) {
            op_reg(size, size == 1 ? 0x8a : 0x8b, d, s);
        }
    }
    void load(unsigned size, Reg d, const Mem& s) { op_mem(size, size == 1 ? 0x8a : 0x8b, d, s); }
    void store(unsigned size, const Mem& d, Reg s) { op_mem(size, size == 1 ? 0x88 : 0x89, s, d); }
    void store_imm(unsigned size, const Mem& d, u32 imm)
    {
        op_mem(size, size == 1 ? 0xc6 : 0xc7, static_cast<Reg>(0), d);
        immediate(size, imm, size == 1);
    }
    void mov_imm(Reg d, u32 imm) // zero-extends; keeps flags
    {
        rex(4, kNoReg, kNoReg, d, false);
        byte(0xb8 + (d & 7));
        imm32(imm);
    }
    void mov_imm64(Reg d, u64 imm)
    {
        if (imm >> 32 == 0) {
            mov_imm(d, static_cast<u32>(imm));
            return;
        }
        rex(8, kNoReg, kNoReg, d, false);
        byte(0xb8 + (d & 7));
        imm64(imm);
    }
    /// Zero- or sign-extends the low `from` (1, 2) bytes to 32 bits.
    void extend(bool sign, unsigned from, Reg d, Reg s)
    {
        rex_bytes(4, d, kNoReg, s, from == 1);
        byte(0x0f);
        byte((sign ? 0xbe : 0xb6) + (from == 1 ? 0 : 1));
        modrm_reg(d, s);
    }
    void load_extend(bool sign, unsigned from, Reg d, const Mem& s)
    {
        rex(4, d, s.index, s.base, false);
        byte(0x0f);
        byte((sign ? 0xbe : 0xb6) + (from == 1 ? 0 : 1));
        modrm_mem(d, s);
    }
    /// Sign-extends 32 bits to 64.
    void movsxd(Reg d, Reg s) { op_reg(8, 0x63, d, s); }
    void lea(unsigned size, Reg d, const Mem& s) { op_mem(size, 0x8d, d, s); }
    void setcc(HostCond cond, Reg d)
    {
        rex_bytes(4, kNoReg, kNoReg, d, true);
        byte(0x0f);
        byte(0x90 + cond);
        modrm_reg(static_cast<Reg>(0), d);
    }
    void cmov(HostCond cond, unsigned size, Reg d, Reg s) { op0f_reg(size, 0x40 + cond, d, s); }
    void push(Reg r)
    {
        rex(4, kNoReg, kNoReg, r, false);
        byte(0x50 + (r & 7));
    }
    void pop(Reg r)
    {
        rex(4, kNoReg, kNoReg, r, false);
        byte(0x58 + (r & 7));
    }
    void pushfq() { byte(0x9c); }
    void popfq() { byte(0x9d); }
    void push(const Mem& m) { op_mem(4, 0xff, static_cast<Reg>(6), m); }

    // Control. Each jump returns the address of its 32-bit displacement.
    u8* jmp()
    {
        byte(0xe9);
        imm32(0);
        return at_ - 4;
    }
    u8* jcc(HostCond cond)
    {
        byte(0x0f);
        byte(0x80 + cond);
        imm32(0);
        return at_ - 4;
    }
    void jmp_to(const u8* target)
    {
        byte(0xe9);
        imm32(0);
        patch(at_ - 4, target);
    }
    void jcc_to(HostCond cond, const u8* target) { patch(jcc(cond), target); }
    void call_to(const u8* target)
    {
        byte(0xe8);
        imm32(0);
        patch(at_ - 4, target);
    }
    void jmp_mem(const Mem& target) { op_mem(4, 0xff, static_cast<Reg>(4), target); }
    void jmp_reg(Reg r) { op_reg(4, 0xff, static_cast<Reg>(4), r); }
    void call_reg(Reg r) { op_reg(4, 0xff, static_cast<Reg>(2), r); }
    void ret() { byte(0xc3); }

    /// Lets the displacement at `place` reach `target`.
    static void patch(u8* place, const u8* target)
    {
        const auto delta = static_cast<i32>(target - (place + 4));
        std::memcpy(place, &delta, 4);
    }
    void patch_here(u8* place) { patch(place, at_); }

private:
    static bool fits8(u32 imm, unsigned size)
    {
        const auto value = static_cast<i32>(imm);
        return size != 2 ? value >= -128 && value < 128
                         : static_cast<base::i16>(imm) >= -128 && static_cast<base::i16>(imm) < 128;
    }
    void immediate(unsigned size, u32 imm, bool one_byte)
    {
        if (one_byte) {
            byte(imm & 0xff);
        } else if (size == 2) {
            byte(imm & 0xff);
            byte((imm >> 8) & 0xff);
        } else {
            imm32(imm);
        }
    }
    void rex(unsigned size, Reg reg, Reg index, Reg base, bool force)
    {
        const auto high = [](Reg r) { return r != kNoReg && r >= r8 ? 1u : 0u; };
        const unsigned bits =
            (size == 8 ? 8u : 0u) | (high(reg) << 2) | (high(index) << 1) | high(base);
        if (bits != 0 || force) {
            byte(0x40 | bits);
        }
    }
    /// With a byte register operand spl to dil need a REX prefix.
    void rex_bytes(unsigned size, Reg reg, Reg index, Reg base, bool byte_operand)
    {
        const auto needs = [](Reg r) { return r != kNoReg && r >= rsp && r <= rdi; };
        rex(size, reg, index, base, byte_operand && (needs(reg) || needs(base)));
    }
    void modrm_reg(Reg reg, Reg rm) { byte(0xc0 | ((reg & 7) << 3) | (rm & 7)); }
    void modrm_mem(Reg reg, const Mem& m)
    {
        if (m.base == kNoReg) { // [index * scale + disp32]
            byte(((reg & 7) << 3) | 4);
            byte((unsigned{m.scale} << 6) | ((m.index & 7) << 3) | 5);
            imm32(static_cast<u32>(m.disp));
            return;
        }
        const bool sib = m.index != kNoReg || (m.base & 7) == 4;
        const bool zero = m.disp == 0 && (m.base & 7) != 5;
        const bool short_disp = m.disp >= -128 && m.disp < 128;
        const unsigned mod = zero ? 0 : short_disp ? 1 : 2;
        byte((mod << 6) | ((reg & 7) << 3) | (sib ? 4 : (m.base & 7)));
        if (sib) {
            const unsigned index = m.index == kNoReg ? 4 : (m.index & 7);
            byte((unsigned{m.scale} << 6) | (index << 3) | (m.base & 7));
        }
        if (mod == 1) {
            byte(static_cast<unsigned>(m.disp) & 0xff);
        } else if (mod == 2) {
            imm32(static_cast<u32>(m.disp));
        }
    }
    void op_reg(unsigned size, unsigned opcode, Reg reg, Reg rm)
    {
        if (size == 2) {
            byte(0x66);
        }
        rex_bytes(size, reg, kNoReg, rm, size == 1);
        byte(opcode);
        modrm_reg(reg, rm);
    }
    void op_mem(unsigned size, unsigned opcode, Reg reg, const Mem& m)
    {
        if (size == 2) {
            byte(0x66);
        }
        const bool needs = size == 1 && reg != kNoReg && reg >= rsp && reg <= rdi;
        rex(size, reg, m.index, m.base, needs);
        byte(opcode);
        modrm_mem(reg, m);
    }
    void op0f_reg(unsigned size, unsigned opcode, Reg reg, Reg rm)
    {
        if (size == 2) {
            byte(0x66);
        }
        rex(size, reg, kNoReg, rm, false);
        byte(0x0f);
        byte(opcode);
        modrm_reg(reg, rm);
    }
    void op0f_mem(unsigned size, unsigned opcode, Reg reg, const Mem& m)
    {
        if (size == 2) {
            byte(0x66);
        }
        rex(size, reg, m.index, m.base, false);
        byte(0x0f);
        byte(opcode);
        modrm_mem(reg, m);
    }

    u8* at_ = nullptr;
    u8* end_ = nullptr;
};

} // namespace emu::codegen::x64
