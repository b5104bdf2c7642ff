// Opening block nodes: a tree of drivers, with a file or a server at each leaf.
#pragma once

#include "imgtool/node/options.hpp"
#include "imgtool/open.hpp"
#include "imgtool/source/byte_source.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace img::node {

/// What an open node is called.
struct NodeName {
    std::string exact = {}; // a name that leads to the same; empty: only `full` does
    Value full = Value::object();
    bool is_protocol = false; // no format over it
    /// As in Layer; when there is none, `no_origin` says why.
    std::optional<std::string> origin = {};
    std::string no_origin = {};

    std::string shown() const { return exact.empty() ? "json:" + write_json(full) : exact; }
};

struct OpenedSource {
    std::unique_ptr<ByteSource> file;
    NodeName name;
};

/// What a node inherits from the one above it.
struct How {
    const OpenOptions& options; // secrets, sharing, and whether writes are wanted
    bool read_only;
    bool share;
    bool unsafe;
    int depth = 0;       // of nodes above
    bool direct = false; // "cache.direct": host files are seen in whole sectors
};

/// Opens what the options describe as bytes: a protocol, or a disk in an image.
Result<OpenedSource> open_source(Options options, How how);

/// What all nodes understand: "read-only", "cache.no-flush" and so on. Changes `how` by it.
Status take_common(Options& options, How& how);

/// Values of the kinds that options have; errors in qemu-img's words.
Result<std::optional<bool>> take_boolean(Options& options, std::string_view name);
Result<std::optional<u64>> take_size(Options& options, std::string_view name);
Result<std::optional<u64>> take_number(Options& options, std::string_view name);

/// A way to reach bytes: "file", "nbd".
struct Protocol {
    std::string_view name; // as in "driver"
    /// Beginnings of names that mean it ("nbd+unix"); the rest becomes options by `parse`.
    std::span<const std::string_view> prefixes;
    Result<Options> (*parse)(std::string_view name);
    /// Takes the options that it knows; what is left is refused then.
    Result<OpenedSource> (*open)(Options& options, const How& how);
    bool says_protocol = true; // what messages call it
    bool takes_images = false; // new ones can be made in what is there
};

const Protocol* find_protocol(std::string_view driver);
/// Error: no such driver, or one that QEMU has and we refuse.
base::Error unknown_driver(std::string_view driver);

/// Whether new images can be made in what the name leads to: a device or an export, which is there
/// and stays as long as it is.
bool takes_images(const std::string& name);

/// Parses a name that has_protocol(); also "json:".
Result<Options> parse_name(std::string_view name);

/// "Block protocol 'nbd' doesn't support the option 'x'", if there is one left.
Status refuse_unknown(const Options& left, std::string_view driver, bool is_protocol);

} // namespace img::node
