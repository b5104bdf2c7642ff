// What generated code and the interpreter call when an access is not a plain TLB hit.
#pragma once

#include "emulator/codegen/runtime.hpp"
#include "emulator/codegen/x64/compiler.hpp"

namespace emu::accel {

codegen::Runtime make_x86_runtime(std::span<const codegen::Helper> helpers, bool guarded);
codegen::x64::SlowPaths x86_slow_paths();

} // namespace emu::accel
