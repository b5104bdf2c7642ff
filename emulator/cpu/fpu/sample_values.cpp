#include "emulator/cpu/fpu/sample_values.hpp"

namespace emu::fpu::sample {

std::vector<F80> corner_values()
{
    const F80 positive[] = {
        {0, 0},                            // zero
        {1, 0},                            // smallest denormal
        {0x7fff'ffff'ffff'ffff, 0},        // largest denormal
        {0x0000'0123'4567'8000, 0},        // some denormal
        {kIntegerBit, 0},                  // pseudo-denormal
        {~u64{0}, 0},                      // another
        {kIntegerBit, 1},                  // smallest normal
        {~u64{0}, 1},                      // largest of that exponent
        {kIntegerBit, 64},                 // meets the denormals when subtracted
        {kIntegerBit, 0x3fff},             // 1
        {kIntegerBit + 1, 0x3fff},         // next after 1
        {~u64{0}, 0x3ffe},                 // next before 1
        {0xc000'0000'0000'0000, 0x3fff},   // 1.5
        {0xa000'0000'0000'0000, 0x4000},   // 2.5
        {0xffff'ff80'0000'0000, 0x3fff},   // half-way in single precision
        {0xffff'ffff'ffff'fc00, 0x3fff},   // half-way in double precision
        {0xc90f'daa2'2168'c235, 0x4000},   // pi
        {0xffff'ffff'0000'0000, 0x401e},   // 2^32 - 1
        {~u64{0}, 0x403d},                 // below 2^63
        {kIntegerBit, 0x403e},             // 2^63
        {kIntegerBit, 0x1fff},             // squares to the smallest normal's neighbourhood
        {0xc000'0000'0000'0001, 0x5fff},   // squares to the largest's
        {kIntegerBit, 0x7ffe},             // large
        {~u64{0}, 0x7ffe},                 // largest
        {kIntegerBit, 0x7fff},             // infinity
        {kIntegerBit + 1, 0x7fff},         // signaling NaN
        {kIntegerBit + 0x4000, 0x7fff},    // signaling NaN, larger
        {kIntegerBit | kQuietBit, 0x7fff}, // quiet NaN
        {~u64{0}, 0x7fff},                 // quiet NaN, largest
        {0x4000'0000'0000'0000, 0x3fff},   // unnormal
        {0, 0x4001},                       // unnormal zero
        {0, 0x7fff},                       // pseudo-infinity
        {0x4000'0000'0000'0001, 0x7fff},   // pseudo-NaN
    };
    std::vector<F80> values;
    for (F80 value : positive) {
        values.push_back(value);
        values.push_back(negated(value));
    }
    return values;
}

F80 random_value(Random& random)
{
    u64 significand = random.next();
    switch (random.below(4)) {
    case 0:
        significand &= ~u64{0} << random.below(64);
        break;
    case 1:
        significand |= (u64{1} << random.below(64)) - 1;
        break;
    default:
        break;
    }
    significand |= kIntegerBit;
    const bool negative = random.below(2) != 0;
    switch (random.below(8)) {
    case 0:
        return make_f80(negative, static_cast<i32>(random.below(0x8000)), significand);
    case 1:
        return make_f80(negative, static_cast<i32>(random.below(80)), significand);
    case 2:
        return make_f80(negative, 0, significand >> random.below(64));
    case 3:
        return make_f80(negative, static_cast<i32>(0x7ffe - random.below(80)), significand);
    case 4:
        return make_f80(negative, static_cast<i32>(0x3fff + random.below(66)), significand);
    default:
        return make_f80(negative, static_cast<i32>(0x3fff - 4 + random.below(8)), significand);
    }
}

std::vector<u16> control_words(u16 masks)
{
    std::vector<u16> words;
    for (u16 rounding = 0; rounding < 4; ++rounding) {
        for (u16 precision : {0, 2, 3}) {
            words.push_back(static_cast<u16>(masks | 0x40 | (precision << 8) | (rounding << 10)));
        }
    }
    return words;
}

} // namespace emu::fpu::sample
