// File names in FAT directories: the short ones (8.3) and the long ones of VFAT.
#pragma once

#include "base/types.hpp"

#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace img::fat {

using ShortName = std::array<char, 11>; // padded with spaces, without the dot

struct Names {
    ShortName short_name;
    std::u16string long_name; // empty: the short one says it all
};

/// Gives names in one directory, so that no two are the same.
class NameGiver {
public:
    /// The names of the file that the host calls `name`. What FAT cannot say becomes '_'.
    Names give(std::string_view name);

private:
    ShortName make_unique(const std::string& base, const std::string& extension);

    std::set<ShortName> short_names_;
    std::set<std::u16string> long_names_;         // in upper case
    std::map<std::string, unsigned> next_number_; // of short names, by what they are made from
};

/// The checksum of a short name that its long name's entries carry (Microsoft's FAT specification,
/// section 7.2).
base::u8 checksum(const ShortName& name);

} // namespace img::fat
