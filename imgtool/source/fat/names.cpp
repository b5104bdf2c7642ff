#include "imgtool/source/fat/names.hpp"

#include <algorithm>

namespace img::fat {

namespace {

using base::u32;
using base::u8;

constexpr std::size_t kMaxLong = 255; // UTF-16 units
// What short names may have besides letters and digits (Microsoft's FAT specification, 6.1), and
// what long names may not have (7.3).
constexpr std::string_view kShortMarks = "$%'-_@~`!(){}^#&";
constexpr std::string_view kNotInLong = "\"*/:<>?\\|";

bool fits_short(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kShortMarks.find(c) != std::string_view::npos;
}

/// UTF-8 to UTF-16; what is not UTF-8 and what long names cannot have becomes '_'.
std::u16string to_utf16(std::string_view name)
{
    std::u16string out;
    for (std::size_t i = 0; i < name.size();) {
        const auto first = static_cast<u8>(name[i++]);
        const int more = first < 0x80   ? 0
                         : first < 0xc2 ? -1
                         : first < 0xe0 ? 1
                         : first < 0xf0 ? 2
                                        : 3;
        u32 point = more <= 0 ? first : first & (0x3fU >> more);
        bool good = more >= 0 && first < 0xf5;
        for (int k = 0; good && k < more; ++k) {
            good = i < name.size() && (static_cast<u8>(name[i]) & 0xc0) == 0x80;
            point = good ? point << 6 | (static_cast<u8>(name[i++]) & 0x3fU) : 0;
        }
        good =
            good && point >= 0x20 && point <= 0x10ffff && (point < 0xd800 || point >= 0xe000) &&
            !(point < 0x80 && kNotInLong.find(static_cast<char>(point)) != std::string_view::npos);
        if (!good) {
            out += u'_';
        } else if (point < 0x10000) {
            out += static_cast<char16_t>(point);
        } else {
            out += static_cast<char16_t>(0xd800 + ((point - 0x10000) >> 10));
            out += static_cast<char16_t>(0xdc00 + (point & 0x3ff));
        }
    }
    // Systems drop spaces and dots at the end.
    for (auto c = out.rbegin(); c != out.rend() && (*c == u' ' || *c == u'.'); ++c) {
        *c = u'_';
    }
    return out.substr(0, kMaxLong);
}

std::u16string upper(std::u16string name)
{
    for (char16_t& c : name) {
        c = c >= u'a' && c <= u'z' ? static_cast<char16_t>(c - u'a' + u'A') : c;
    }
    return name;
}

ShortName pad(std::string_view base, std::string_view extension)
{
    ShortName name;
    name.fill(' ');
    std::ranges::copy(base, name.begin());
    std::ranges::copy(extension, name.begin() + 8);
    return name;
}

/// Upper case, without what short names cannot have.
std::string shorten(std::string_view part)
{
    std::string out;
    for (char c : part) {
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        if (c != ' ' && c != '.') {
            out += fits_short(c) ? c : '_';
        }
    }
    return out;
}

} // namespace

ShortName NameGiver::make_unique(const std::string& base, const std::string& extension)
{
    // The basis-name algorithm of the specification (7.4): "~1" and on at the end of the base.
    const std::string head = base.substr(0, 6);
    unsigned& number = next_number_[head + '.' + extension];
    while (true) {
        const std::string tail = '~' + std::to_string(++number);
        const ShortName name = pad(base.substr(0, 8 - tail.size()) + tail, extension);
        if (short_names_.insert(name).second) {
            return name;
        }
    }
}

Names NameGiver::give(std::string_view name)
{
    std::u16string full = to_utf16(name);
    const std::u16string plain = full.substr(0, kMaxLong - 8);
    for (unsigned n = 2; !long_names_.insert(upper(full)).second; ++n) {
        // "readme" and "README" are one name to FAT.
        full = plain + u'~';
        for (const char digit : std::to_string(n)) {
            full += static_cast<char16_t>(digit);
        }
    }
    const std::size_t dot = name.find_last_of('.');
    const bool has_extension = dot != std::string_view::npos && dot != 0;
    const std::string_view stem = has_extension ? name.substr(0, dot) : name;
    const std::string_view rest = has_extension ? name.substr(dot + 1) : std::string_view{};
    const bool is_short = !stem.empty() && stem.size() <= 8 && rest.size() <= 3 &&
                          (!has_extension || !rest.empty()) &&
                          std::ranges::all_of(stem, fits_short) &&
                          std::ranges::all_of(rest, fits_short) && full.size() == name.size();
    if (is_short && short_names_.insert(pad(stem, rest)).second) {
        return {pad(stem, rest), {}};
    }
    std::string base = shorten(stem);
    base = base.empty() ? "_" : base;
    return {make_unique(base, shorten(rest).substr(0, 3)), std::move(full)};
}

u8 checksum(const ShortName& name)
{
    u8 sum = 0;
    for (const char c : name) {
        sum = static_cast<u8>((sum >> 1) + ((sum & 1) << 7) + static_cast<u8>(c));
    }
    return sum;
}

} // namespace img::fat
