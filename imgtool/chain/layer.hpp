// One image of a chain: how it is opened, whatever way it is named.
#pragma once

#include "imgtool/node/options.hpp"
#include "imgtool/open.hpp"

namespace img {

struct OpenedLayer {
    Layer layer;
    bool read_only;
    /// What was said about the backing file where the image itself was named ("backing.driver").
    node::Options backing = {};
    bool without_backing = false; // "backing": null
};

/// Whether options for the backing file are known or, as to `info`, mean nothing.
enum class BackingOptions : u8 { known, unknown };

/// Opens the image that `options` names, without its backing files.
Result<OpenedLayer> open_one(const OpenOptions& options, OpenFor purpose,
                             BackingOptions backing = BackingOptions::known);

/// The format that was asked for, or the one that the file looks like.
Result<const FormatDriver*> choose_format(ByteSource& file, const std::string& asked);

/// Opens further files that the image at `origin` names, where the caller's policy lets it.
OpenSibling sibling_opener(const OpenOptions& options, std::string origin);

} // namespace img
