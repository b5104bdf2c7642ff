// VMDK's text descriptor: which files a disk is made of, its identity and its parent's.
//
// Source: VMware, "Virtual Disk Format 5.0" ("VDF"), "The Descriptor File".
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace img::vmdk {

using base::Result;
using base::u32;
using base::u64;
using base::u8;

inline constexpr u32 kNoParent = 0xffff'ffff;    // parentCID of a disk that stands alone
inline constexpr std::size_t kMaxExtents = 4096; // each is a file that has to be opened
inline constexpr std::size_t kMaxParentName = 1023;

/// VDF, "Extent Section".
struct ExtentLine {
    enum class Access : u8 { read_write, read_only } access = Access::read_write;
    u64 sectors = 0;
    std::string type = {}; // "FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE"
    std::string name = {}; // of the file, as it stands there; untrusted
    u64 offset = 0;        // sectors, of a flat extent in its file
};

/// VDF, "Header".
struct Descriptor {
    u32 cid = 0;
    u32 parent_cid = kNoParent;
    std::string type = {};        // "monolithicSparse"
    std::string parent_name = {}; // empty: no parent
};

/// Whether a file's first bytes are those of a descriptor.
bool looks_like_descriptor(std::string_view start);

/// Reads the header; `type` stays empty when there is none. What follows a zero byte is not looked
/// at. Error: `corrupt`.
Result<Descriptor> parse_descriptor(std::string_view text);
/// Reads the extent lines. Errors: `corrupt`, `unsupported`.
Result<std::vector<ExtentLine>> parse_extents(std::string_view text);

/// Whether an extent's or parent's file name may be opened at all: never devices and the like.
bool is_plain_file_name(const std::string& name);

/// What replacing the CID changes: these bytes, at this offset in the text.
struct Patch {
    std::size_t at;
    std::string bytes;
    std::size_t replaces; // bytes
};
std::optional<Patch> replace_cid(std::string_view text, u32 cid);

struct DescriptorSettings {
    Descriptor header;
    std::vector<ExtentLine> extents = {};
    std::string adapter = "ide";
    std::string hardware = "4";
    std::string tools = "2147483647";
};
std::string write_descriptor(const DescriptorSettings& settings);

} // namespace img::vmdk
