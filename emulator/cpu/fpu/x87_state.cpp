#include "emulator/cpu/fpu/x87_state.hpp"

namespace emu::fpu {

namespace {

void update_summary(X87State& s)
{
    s.status &= static_cast<u16>(~(sw::es | sw::busy));
    if ((s.status & ~s.control & sw::exceptions) != 0) {
        s.status |= sw::es | sw::busy;
    }
}

enum Tag : u16 { valid = 0, zero = 1, special = 2, empty = 3 };

Tag tag_of(F80 value)
{
    switch (classify(value)) {
    case F80Class::normal:
        return Tag::valid;
    case F80Class::zero:
        return Tag::zero;
    default:
        return Tag::special;
    }
}

} // namespace

void set_status_word(X87State& s, u16 value)
{
    s.top = (value >> 11) & 7;
    s.status = static_cast<u16>(value & ~sw::top);
    update_summary(s);
}

void set_control_word(X87State& s, u16 value)
{
    s.control = static_cast<u16>((value & cw::writable) | 0x40);
    update_summary(s);
}

u16 tag_word(const X87State& s)
{
    u16 word = 0;
    for (unsigned i = 0; i < 8; ++i) {
        const Tag tag = ((s.empty >> i) & 1) != 0 ? Tag::empty : tag_of(s.regs[i]);
        word = static_cast<u16>(word | (tag << (2 * i)));
    }
    return word;
}

void set_tag_word(X87State& s, u16 value)
{
    s.empty = 0;
    for (unsigned i = 0; i < 8; ++i) {
        if (((value >> (2 * i)) & 3) == Tag::empty) {
            s.empty = static_cast<u8>(s.empty | (1u << i));
        }
    }
}

bool stack_underflow(X87State& s)
{
    return finish(s, sw::ie | sw::sf, false) == 0;
}

bool stack_overflow(X87State& s)
{
    return finish(s, sw::ie | sw::sf, true) == 0;
}

} // namespace emu::fpu
