// An interrupt message between I/O APIC and local APICs.
//
// Source: Intel "64 and IA-32 Architectures Software Developer's Manual", volume 3, chapter 11
// ("APIC"); "82093AA I/O APIC" (290566), section 3.2.4.
#pragma once

#include "base/types.hpp"

#include <functional>

namespace emu::devices {

enum class ApicDelivery : base::u8 {
    fixed = 0,
    lowest_priority = 1,
    smi = 2,
    nmi = 4,
    init = 5,
    start_up = 6,
    external = 7 // ExtINT: the vector comes from the 8259A pair
};

struct ApicMessage {
    base::u8 vector = 0;
    ApicDelivery delivery = ApicDelivery::fixed;
    base::u8 destination = 0;
    bool logical = false; // how `destination` is to be read
    bool level_triggered = false;
};

/// Returns whether a local APIC took the message.
using ApicBus = std::function<bool(const ApicMessage&)>;

} // namespace emu::devices
