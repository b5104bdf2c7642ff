// The program's own terminal in raw mode.
#pragma once

#include "base/types.hpp"

namespace emu::hostio {

/// While it lives, keys come one by one and unechoed. Does nothing when standard input is no
/// terminal. The old settings come back at destruction and at exit().
class RawTerminal {
public:
    enum class Signals : base::u8 {
        keep, // Ctrl-C still interrupts the program
        pass  // every key goes to the guest
    };
    explicit RawTerminal(Signals signals);
    ~RawTerminal();
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;

    static bool is_terminal();

private:
    bool active_ = false;
};

} // namespace emu::hostio
