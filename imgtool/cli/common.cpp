#include "imgtool/cli/common.hpp"

#include "imgtool/cli/object.hpp"

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
        if (auto added = add_object(value, common.secrets); !added) {
            report(added.error().message);
            return Taken::bad;
        }
        return Taken::yes;
    default:
        return Taken::no;
    }
}

Result<OpenOptions> open_options(const Common& common, const std::string& name,
                                 const std::string& format)
{
    if (common.image_opts) {
        return base::fail(base::Errc::unsupported, "--image-opts is not supported yet");
    }
    OpenOptions options{.path = name, .format = format};
    options.share = common.share;
    options.backing.trust_data_files = true; // as qemu-img: the user named the image
    options.secrets = &common.secrets;
    return options;
}

} // namespace img::cli
