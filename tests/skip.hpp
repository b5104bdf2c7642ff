// Tests that cannot run here say so, and are counted as skipped, never as passed.
#pragma once

#include <string>

namespace suite {

/// Notes that the running test case, or a part of it, cannot run on this machine. The case goes on,
/// and should return. Unless something fails, a program whose cases were all skipped ends with 77,
/// which ctest shows as skipped (each case is a test of its own there).
void skip(const std::string& why);

} // namespace suite
