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

} // namespace

Result<std::unique_ptr<ByteSource>> open_data_file(const Header& header, OpenContext& context)
{
    if (!header.has_data_file()) {
        if (context.data_file_given) {
            return fail(Errc::invalid_argument,
                        "'data-file' can only be set for images with an external data file");
        }
        return std::unique_ptr<ByteSource>{};
    }
    if (context.no_io) {
        return std::unique_ptr<ByteSource>{};
    }
    const std::string name = header.data_file_name();
    if (name.empty() && !context.data_file_given) {
        return fail(Errc::invalid_argument, "'data-file' is required for this image");
    }
    if (!context.open_sibling || !(context.trust_data_files || context.data_file_given)) {
        return fail(Errc::unsupported,
                    fmt::format("the image keeps its data in another file, '{}', which is not "
                                "opened without the caller's permission",
                                name));
    }
    return context.open_sibling(name);
}

} // namespace img::qcow2
