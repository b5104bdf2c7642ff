// The external data file of a qcow2 image (qcow2.txt, "External data file name string").
//
// Its name is one more thing that an untrusted image says: it is only ever a plain file name (never
// a protocol or "json:"), and whether the file may be opened is the caller's decision. What the
// user named in the options comes before what the image says.
#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <fmt/format.h>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

/// The option `data-file`, a file name, or `data-file.filename` with the driver of plain files.
Result<std::string> named_by_user(const OpenContext& context)
{
    std::string name;
    for (const auto& [key, value] : context.options) {
        if (key == "data-file" || key == "data-file.filename") {
            name = value;
        } else if (key == "data-file.driver" && value != "file") {
            return fail(
                Errc::unsupported,
                fmt::format("a data file through the driver '{}' is not supported yet", value));
        }
    }
    return name;
}

} // namespace

Result<std::unique_ptr<ByteSource>> open_data_file(const Header& header, OpenContext& context)
{
    auto named = named_by_user(context);
    if (!named) {
        return std::move(named).error();
    }
    if (!header.has_data_file()) {
        if (!named.value().empty()) {
            return fail(Errc::invalid_argument,
                        "'data-file' can only be set for images with an external data file");
        }
        return std::unique_ptr<ByteSource>{};
    }
    if (context.no_io) {
        return std::unique_ptr<ByteSource>{};
    }
    const bool by_user = !named.value().empty();
    const std::string name = by_user ? named.value() : header.data_file_name();
    if (name.empty()) {
        return fail(Errc::invalid_argument, "'data-file' is required for this image");
    }
    const OpenSibling& open = by_user ? context.open_named : context.open_sibling;
    if (!open || (!by_user && !context.trust_data_files)) {
        return fail(Errc::unsupported,
                    fmt::format("the image keeps its data in another file, '{}', which is not "
                                "opened without the caller's permission",
                                name));
    }
    return open(name);
}

} // namespace img::qcow2
