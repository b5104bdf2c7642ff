#include "imgtool/cli/common.hpp"

#include "imgtool/node/name.hpp"

#include <cstdlib>

namespace img::cli {

Taken take_common(int c, const char* value, Common& common)
{
    switch (c) {
    case 'h':
        print_help();
        std::exit(kSuccess);
    case 'U':
        common.share = true;
        return Taken::yes;
    case 'q':
        common.quiet = true;
        return Taken::yes;
    case 'p':
        common.progress = true;
        return Taken::yes;
    case kOptOutput:
        return parse_output(value, common.output) ? Taken::yes : Taken::bad;
    case kOptImageOpts:
        common.image_opts = true;
        return Taken::yes;
    case kOptObject:
        refuse("--object");
        return Taken::bad;
    default:
        return Taken::no;
    }
}

Result<OpenOptions> open_options(const Common& common, const std::string& name,
                                 const std::string& format)
{
    OpenOptions options{.path = name, .format = format};
    options.share = common.share;
    options.secrets = &common.secrets;
    // As qemu-img: an image that the user named may name its backing files as it likes, and its
    // data file if that is a plain file.
    options.backing = {.nodes = true, .trust_probed = true, .trust_data_files = true};
    if (common.image_opts && !format.empty()) {
        return base::fail(base::Errc::invalid_argument,
                          "--image-opts and --format are mutually exclusive");
    }
    auto named =
        common.image_opts ? node::use_image_opts(options, name) : node::use_name(options, name);
    if (!named) {
        return std::move(named).error().in("Could not open '" + name + "'");
    }
    return options;
}

} // namespace img::cli
