// The configuration file of QEMU's driver "blkdebug".
#pragma once

#include "imgtool/node/options.hpp"

#include <string>

namespace img {

/// Reads one and returns its rules as the options that would mean the same, "inject-error.0.event".
/// The file has sections "[inject-error]" and "[set-state]" with lines `key = "value"`; empty lines
/// and those that begin with "#" mean nothing (QEMU's documentation, docs/devel/blkdebug). Errors
/// are in qemu-img's words.
base::Result<node::Options> read_fault_config(const std::string& path);

} // namespace img
