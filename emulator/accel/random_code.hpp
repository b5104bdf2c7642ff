// Random x86 programs for tests: mostly instructions that do something, some plain random bytes.
#pragma once

#include "base/types.hpp"

#include <vector>

namespace emu::accel {

using base::u32;
using base::u64;
using base::u8;

/// A fixed sequence of numbers for a seed (Knuth's MMIX generator), the same on every host.
class Dice {
public:
    explicit Dice(u64 seed) : state_{seed * 2 + 1} { next(); }
    u32 next()
    {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<u32>(state_ >> 32);
    }
    /// 0 to n - 1.
    u32 below(u32 n) { return static_cast<u32>(u64{next()} * n >> 32); }
    bool one_in(u32 n) { return below(n) == 0; }
    template <class List>
    auto pick(const List& from)
    {
        return from[below(static_cast<u32>(from.size()))];
    }

private:
    u64 state_;
};

/// What the program may aim at.
struct Terrain {
    bool code32 = false;
    std::vector<u32> places; // offsets in the data segment around which it reads and writes
};

/// `bytes` of a program that never ends properly: what runs it must count.
std::vector<u8> random_program(Dice& dice, const Terrain& terrain, std::size_t bytes);

} // namespace emu::accel
