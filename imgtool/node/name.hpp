// Names of images as people and images give them: plain files, "nbd://host/disk", "json:{...}".
#pragma once

#include "imgtool/open.hpp"

#include <optional>
#include <string>

namespace img::node {

/// Fills `path` and `node` of `options` from a name: a plain file's ("file:" may stand before it),
/// or another protocol's, or "json:{...}".
Status use_name(OpenOptions& options, const std::string& name);

/// The same from "driver=qcow2,file.filename=x" (--image-opts).
Status use_image_opts(OpenOptions& options, const std::string& text);

/// The image of an open chain again.
Status use_layer(OpenOptions& options, const Layer& layer);

/// The plain path of an image that is to be made: "file:" is taken off, other protocols are refused
/// as qemu-img does.
Result<std::string> plain_path(const std::string& name);

/// Where a name in an image leads: names that are relative are taken from the folder of `origin`.
/// Nothing when they are and there is none.
std::optional<std::string> join_name(const std::optional<std::string>& origin,
                                     const std::string& name);

} // namespace img::node
