#include "imgtool/formats/vmdk/descriptor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

namespace img::vmdk {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kMaxExtentSectors = u64{1} << 54;

/// Cuts the next line off `text`, without its end.
std::string_view take_line(std::string_view& text)
{
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (line.ends_with('\r') || line.ends_with(' ')) {
        line.remove_suffix(1);
    }
    return line;
}

std::string_view up_to_nul(std::string_view text)
{
    return text.substr(0, text.find('\0'));
}

/// The value of `key=...` when `line` is that.
std::optional<std::string_view> value_of(std::string_view line, std::string_view key)
{
    if (!line.starts_with(key)) {
        return std::nullopt;
    }
    line.remove_prefix(key.size());
    return line;
}

std::optional<u32> parse_hex(std::string_view text)
{
    u32 value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return error == std::errc{} ? std::optional{value} : std::nullopt;
}

std::string unquote(std::string_view text)
{
    if (!text.starts_with('"')) {
        return std::string{text};
    }
    text.remove_prefix(1);
    return std::string{text.substr(0, text.find('"'))};
}

/// Cuts a word that ends with white space off `text`.
std::string_view take_word(std::string_view& text)
{
    const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end);
    return word;
}

std::optional<u64> parse_number(std::string_view text)
{
    u64 value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    return whole ? std::optional{value} : std::nullopt;
}

base::Error invalid_line(std::string_view line)
{
    return fail(Errc::corrupt, fmt::format("Invalid extent line: {}", line));
}

struct Type {
    std::string_view name;
    enum class Offset : u8 { none, needed } offset;
    bool has_file;
};
constexpr std::array kTypes{
    Type{"FLAT", Type::Offset::needed, true}, Type{"SPARSE", Type::Offset::none, true},
    Type{"VMFS", Type::Offset::none, true}, Type{"VMFSSPARSE", Type::Offset::none, true},
    Type{"ZERO", Type::Offset::none, false}};

/// The rest of an extent line: a quoted name and perhaps an offset.
base::Status parse_file(std::string_view rest, const Type& type, ExtentLine& extent,
                        std::string_view line)
{
    const std::size_t open = rest.find_first_not_of(" \t");
    if (open == std::string_view::npos || rest[open] != '"') {
        return invalid_line(line);
    }
    const std::size_t close = rest.find('"', open + 1);
    if (close == std::string_view::npos || close == open + 1) {
        return invalid_line(line);
    }
    extent.name = std::string{rest.substr(open + 1, close - open - 1)};
    rest.remove_prefix(close + 1);
    const std::string_view number = take_word(rest);
    if ((type.offset == Type::Offset::needed) == number.empty()) {
        return invalid_line(line);
    }
    const auto offset = parse_number(number.empty() ? "0" : number);
    if (!offset || *offset > kMaxExtentSectors) {
        return invalid_line(line);
    }
    extent.offset = *offset;
    return base::ok();
}

/// A line that begins with an access mode; nothing when the extent has no sectors.
Result<std::optional<ExtentLine>> parse_extent(std::string_view line, std::string_view access)
{
    std::string_view rest = line;
    take_word(rest);
    const auto sectors = parse_number(take_word(rest));
    const std::string_view type_name = take_word(rest);
    if (!sectors || type_name.empty() || *sectors > kMaxExtentSectors) {
        return invalid_line(line);
    }
    if (access == "NOACCESS") {
        return fail(Errc::unsupported, "extents with NOACCESS are not supported");
    }
    const auto* type = std::ranges::find(kTypes, type_name, &Type::name);
    if (type == kTypes.end()) {
        return fail(Errc::unsupported, fmt::format("Unsupported extent type '{}'", type_name));
    }
    ExtentLine extent{.access = access == "RW" ? ExtentLine::Access::read_write
                                               : ExtentLine::Access::read_only,
                      .sectors = *sectors,
                      .type = std::string{type_name}};
    if (type->has_file) {
        if (auto good = parse_file(rest, *type, extent, line); !good) {
            return std::move(good).error();
        }
    }
    return *sectors == 0 ? std::nullopt : std::optional{std::move(extent)};
}

} // namespace

bool looks_like_descriptor(std::string_view start)
{
    while (!start.empty()) {
        const bool ends = start.find('\n') != std::string_view::npos;
        const std::string_view line = take_line(start);
        if (line.starts_with('#') || (line.find_first_not_of(' ') == line.npos && ends)) {
            continue; // comments and empty lines
        }
        return ends && (line == "version=1" || line == "version=2" || line == "version=3");
    }
    return false;
}

Result<Descriptor> parse_descriptor(std::string_view text)
{
    Descriptor d;
    bool has_cid = false;
    bool has_parent_cid = false;
    text = up_to_nul(text);
    while (!text.empty()) {
        const std::string_view line = take_line(text);
        if (const auto cid = value_of(line, "CID=")) {
            const auto number = parse_hex(*cid);
            has_cid = number.has_value();
            d.cid = number.value_or(0);
        } else if (const auto parent = value_of(line, "parentCID=")) {
            const auto number = parse_hex(*parent);
            has_parent_cid = number.has_value();
            d.parent_cid = number.value_or(kNoParent);
        } else if (const auto type = value_of(line, "createType=")) {
            d.type = unquote(*type);
        } else if (const auto name = value_of(line, "parentFileNameHint=")) {
            d.parent_name = unquote(*name);
        }
    }
    if (!has_cid || !has_parent_cid) {
        return fail(Errc::corrupt, "invalid VMDK image descriptor");
    }
    if (d.parent_name.size() > kMaxParentName) {
        return fail(Errc::corrupt, "the parent's file name is too long");
    }
    return d;
}

Result<std::vector<ExtentLine>> parse_extents(std::string_view text)
{
    std::vector<ExtentLine> extents;
    text = up_to_nul(text);
    while (!text.empty()) {
        const std::string_view line = take_line(text);
        std::string_view rest = line;
        const std::string_view access = take_word(rest);
        if (access != "RW" && access != "RDONLY" && access != "NOACCESS") {
            continue;
        }
        auto extent = parse_extent(line, access);
        if (!extent) {
            return std::move(extent).error();
        }
        if (extent.value()) {
            extents.push_back(*std::move(extent).value());
        }
        if (extents.size() > kMaxExtents) {
            return fail(Errc::unsupported, fmt::format("more than {} extents", kMaxExtents));
        }
    }
    return extents;
}

bool is_plain_file_name(const std::string& name)
{
    if (name.find('\0') != std::string::npos) {
        return false;
    }
    bool from_root = name.starts_with('/');
    for (const auto& part : std::filesystem::path{name}.lexically_normal()) {
        if (part == "..") {
            from_root = true; // or further down, which we cannot know
        } else if (part != "/") {
            return !from_root || (part != "dev" && part != "proc" && part != "sys");
        }
    }
    return true;
}

std::optional<Patch> replace_cid(std::string_view text, u32 cid)
{
    const std::string_view whole = up_to_nul(text);
    std::string_view rest = whole;
    while (!rest.empty()) {
        const std::size_t at = whole.size() - rest.size();
        const std::string_view line = take_line(rest);
        if (const auto value = value_of(line, "CID=")) {
            return Patch{at + 4, fmt::format("{:08x}", cid), value->size()};
        }
    }
    return std::nullopt;
}

std::string write_descriptor(const DescriptorSettings& s)
{
    const u64 heads = s.adapter == "ide" ? 16 : 255;
    constexpr u64 kSectorsPerTrack = 63;
    u64 sectors = 0;
    std::string lines;
    for (const ExtentLine& e : s.extents) {
        sectors += e.sectors;
        lines += fmt::format("RW {} {} \"{}\"{}\n", e.sectors, e.type, e.name,
                             e.type == "FLAT" ? fmt::format(" {}", e.offset) : "");
    }
    const std::string parent =
        s.header.parent_name.empty()
            ? ""
            : fmt::format("parentFileNameHint=\"{}\"\n", s.header.parent_name);
    return fmt::format("# Disk DescriptorFile\n"
                       "version=1\n"
                       "CID={:08x}\n"
                       "parentCID={:08x}\n"
                       "createType=\"{}\"\n"
                       "{}"
                       "\n"
                       "# Extent description\n"
                       "{}"
                       "\n"
                       "# The Disk Data Base\n"
                       "#DDB\n"
                       "\n"
                       "ddb.virtualHWVersion = \"{}\"\n"
                       "ddb.geometry.cylinders = \"{}\"\n"
                       "ddb.geometry.heads = \"{}\"\n"
                       "ddb.geometry.sectors = \"{}\"\n"
                       "ddb.adapterType = \"{}\"\n"
                       "ddb.toolsVersion = \"{}\"\n",
                       s.header.cid, s.header.parent_cid, s.header.type, parent, lines, s.hardware,
                       sectors / (heads * kSectorsPerTrack), heads, kSectorsPerTrack, s.adapter,
                       s.tools);
}

} // namespace img::vmdk
