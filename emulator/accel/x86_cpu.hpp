// An x86 CPU run by our translator: the Cpu that boards plug in.
#pragma once

#include "emulator/machine/clock.hpp"
#include "emulator/machine/cpu.hpp"
#include "emulator/machine/x86_hooks.hpp"
#include "emulator/memory/address_space.hpp"

#include "base/result.hpp"

#include <memory>
#include <string>

namespace emu::accel {

/// How code is run; never what it does.
enum class Tier : u8 {
    automatic, // cold code is interpreted, warm code compiled
    interpret, // tier 0 only
    compile    // tier 1 for everything but single steps
};

struct X86CpuConfig {
    std::string model = "pentium3"; // see x86::model_names()
    Tier tier = Tier::automatic;
    u64 code_cache_bytes = 16u << 20;
};

/// Smallest code cache that can be asked for.
inline constexpr u64 kMinCodeCacheBytes = 256u << 10;

/// Errors: `invalid_argument` for an unknown model or a code cache that is too small. `memory`,
/// `hooks` and `clock` must outlive the CPU, which installs itself as the clock's instruction
/// source and as the memory's code listener.
base::Result<std::unique_ptr<Cpu>> make_x86_cpu(const X86CpuConfig& config, AddressSpace& memory,
                                                X86Hooks& hooks, Clock& clock);

} // namespace emu::accel
