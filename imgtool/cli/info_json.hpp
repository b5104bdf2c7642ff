// What `info --output=json` says of an image: the members of qemu-img 7.2, and of 10.0 unless the
// program is called as qemu-img.
#pragma once

#include "imgtool/cli/text.hpp"
#include "imgtool/image.hpp"

#include <string>
#include <vector>

namespace img::cli {

/// Of LUKS; qemu-img has it since 9.0, and we in JSON only, so that the text stays as scripts know
/// it.
constexpr std::string_view kDetachedHeader = "detached-header";

/// A file that an image is in, or a server.
struct FileBelow {
    std::string role;   // "file", "extents.0"
    std::string driver; // "file", "host_device", "nbd"
    std::string name;
    u64 size;      // bytes
    u64 allocated; // bytes of host storage, or ByteSource::kUnknown
};

/// One image with what is printed of it.
struct Described {
    std::string path;
    std::string format;
    ImageInfo info;
    u64 allocated; // bytes of host storage, or ByteSource::kUnknown
    std::vector<FileBelow> files;
    std::string backing_path; // where the backing name leads; empty when none
    bool has_dirty_flag;
};

/// The members are in qemu-img's order, which people's scripts may have come to rely on.
void write_info(JsonWriter& json, const Described& described);

} // namespace img::cli
