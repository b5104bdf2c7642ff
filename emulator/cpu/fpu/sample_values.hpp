// Test support: numbers worth trying, and reproducible random ones.
#pragma once

#include "emulator/cpu/fpu/f80.hpp"

#include <vector>

namespace emu::fpu::sample {

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
class Random {
public:
    explicit Random(u64 seed) : state_{seed} {}

    u64 next()
    {
        state_ += 0x9e37'79b9'7f4a'7c15;
        u64 z = state_;
        z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9;
        z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11eb;
        return z ^ (z >> 31);
    }

    u64 below(u64 limit) { return next() % limit; }

private:
    u64 state_;
};

/// Both signs of zeros, denormals, normals at the borders, infinities, NaNs and every kind of
/// unsupported encoding.
std::vector<F80> corner_values();

/// A number of a random kind: mostly normal with exponents that meet each other.
F80 random_value(Random& random);

/// All rounding and precision modes; with `masks` as the six mask bits.
std::vector<u16> control_words(u16 masks);

} // namespace emu::fpu::sample
