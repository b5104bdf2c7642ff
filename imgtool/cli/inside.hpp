// What the commands that look into file systems share: ls, cat, extract.
#pragma once

#include "imgtool/cli/common.hpp"
#include "imgtool/fs/file_system.hpp"
#include "imgtool/fs/partitions.hpp"

#include <memory>
#include <string>
#include <vector>

namespace img::cli {

/// An image that is looked into.
struct Inside {
    std::unique_ptr<ChainDisk> disk;
    fs::PartitionTable table;
};

/// Nothing when why not was reported.
std::unique_ptr<Inside> look_inside(const Common& common, const std::string& path,
                                    const std::string& format);

/// "2:/etc" or "/etc".
struct PlaceOnDisk {
    std::optional<unsigned> partition;
    std::string path;
};
PlaceOnDisk parse_place(const std::string& text);

/// The file system that a place is in. Says what should be known about it, on standard error.
/// Errors are whole messages.
Result<std::unique_ptr<fs::FileSystem>> open_inside(Inside& inside, const PlaceOnDisk& place);

/// Text without control characters, which a terminal would obey.
std::string printable(const std::string& text);

} // namespace img::cli
