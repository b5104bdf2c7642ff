// Where Windows' formats say that their parents are.
#pragma once

#include "imgtool/format.hpp"

#include <span>
#include <string>

namespace img {

/// A Windows path as one of this host: "..\a.vhd" is "../a.vhd", and of what begins on a drive, a
/// volume or a server only the last part can mean anything here.
std::string from_windows(std::string path);

/// Of several names that should all lead to the parent, in the order in which they are to be tried,
/// the first that leads to a file; the first of all when none does. Empty: there are no names.
std::string choose_parent(std::span<const std::string> names, const OpenContext& context);

} // namespace img
