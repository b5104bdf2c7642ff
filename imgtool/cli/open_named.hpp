// Opening images that the user named, with the messages that belong to it.
#pragma once

#include "imgtool/cli/common.hpp"
#include "imgtool/open.hpp"

#include <memory>
#include <string>

namespace img::cli {

struct Named {
    std::string path;
    std::string format = {}; // of -f; empty: probed
    bool writable = false;
    std::string cache = "writeback";
    CreateSettings format_options = {}; // as in OpenOptions
    const Identity* identity = &Identity::of_host();
};

/// The whole chain, or nothing when why not was reported. Warns when the format of an image that
/// will be written was guessed to be raw.
std::unique_ptr<ChainDisk> open_named(const Common& common, const Named& named);

/// The same without backing files: only the named image.
std::unique_ptr<ChainDisk> open_named_alone(const Common& common, const Named& named);

/// "Invalid cache option" when the mode is unknown, which is then reported.
bool good_cache(const std::string& mode, bool source);

/// Whether both paths lead to one host file.
bool same_file(const std::string& a, const std::string& b);

} // namespace img::cli
