// The opcode map of D9 E0 to FF: Intel SDM volume 2, table A-9.
#include "emulator/cpu/fpu/x87.hpp"

namespace emu::fpu {

namespace {

template <unsigned kIndex>
void load_constant(X87State& s)
{
    fld_constant(s, kIndex);
}

} // namespace

const std::array<PlainOperation, 32> kD9Register{
    // E0
    fchs, fabs, nullptr, nullptr, ftst, fxam, nullptr, nullptr,
    // E8
    load_constant<0>, load_constant<1>, load_constant<2>, load_constant<3>, load_constant<4>,
    load_constant<5>, load_constant<6>, nullptr,
    // F0
    f2xm1, fyl2x, fptan, fpatan, fxtract, fprem1, fdecstp, fincstp,
    // F8
    fprem, fyl2xp1, fsqrt, fsincos, frndint, fscale, fsin, fcos};

} // namespace emu::fpu
