// FFREE, FINCSTP, FDECSTP, FNINIT, FNCLEX.
#include "emulator/cpu/fpu/x87.hpp"

namespace emu::fpu {

void ffree(X87State& s, unsigned i)
{
    s.empty = static_cast<u8>(s.empty | (1u << physical(s, i)));
    finish(s, 0, false); // the SDM calls the condition codes undefined; tested hosts clear C1
}

void ffreep(X87State& s, unsigned i)
{
    ffree(s, i);
    pop(s);
}

void fincstp(X87State& s)
{
    s.top = (s.top + 1) & 7;
    finish(s, 0, false);
}

void fdecstp(X87State& s)
{
    s.top = (s.top - 1) & 7;
    finish(s, 0, false);
}

void fninit(X87State& s)
{
    // The data registers keep their contents but are tagged empty (SDM volume 2, FINIT).
    const std::array<F80, 8> regs = s.regs;
    s = {};
    s.regs = regs;
    s.control = cw::after_init;
    s.empty = 0xff;
}

void fnclex(X87State& s)
{
    s.status &= static_cast<u16>(~(sw::exceptions | sw::sf | sw::es | sw::busy));
}

} // namespace emu::fpu
