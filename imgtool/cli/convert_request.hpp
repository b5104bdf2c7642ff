// What `convert` is asked for.
#pragma once

#include "imgtool/cli/common.hpp"
#include "imgtool/cli/snapshot_choice.hpp"

#include <optional>
#include <string>
#include <vector>

namespace img::cli {

struct ConvertRequest {
    std::vector<std::string> sources;
    std::string target;
    std::string source_format;
    std::optional<std::string> target_format; // -O
    CreateSettings settings;                  // -o
    std::string backing;
    std::string backing_format;
    std::string cache = "unsafe";
    std::string source_cache = "writeback";
    SnapshotChoice snapshot;        // -l
    std::optional<u64> sparse_size; // bytes
    unsigned threads = 0;           // at most; 0: as many as serve
    u64 rate = 0;                   // bytes per second; 0: any
    bool has_settings = false;      // -o was given
    bool help = false;
    bool compress = false;
    bool copy_range = false;
    bool skip_create = false;
    bool target_is_zero = false;
    bool target_image_opts = false;
    bool salvage = false;
    bool bitmaps = false;
    bool skip_broken_bitmaps = false;
    bool reproducible = false;
    Common common;

    const std::string& format_name() const;
};

/// False when the command line is wrong, which was reported.
bool parse_convert(int argc, char** argv, ConvertRequest& request);

} // namespace img::cli
