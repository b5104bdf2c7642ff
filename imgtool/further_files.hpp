// What images say that are made of several files.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <string>
#include <utility>
#include <vector>

namespace img {

/// Images of formats that have files beside Image::file() are this too.
class FurtherFiles {
public:
    virtual ~FurtherFiles() = default;

    /// Those files, each with its role ("extents.0"), in the order of the disk.
    virtual std::vector<std::pair<std::string, const ByteSource*>> further_files() const = 0;
};

} // namespace img
