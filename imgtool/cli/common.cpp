#include "imgtool/cli/common.hpp"

#include "imgtool/cli/object.hpp"
#include "imgtool/node/name.hpp"

namespace img::cli {

Taken take_common(int c, const char* value, Common& common)
{
    switch (c) {
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

bool take_operands(const OptionReader& reader, std::string_view complaint,
                   std::initializer_list<std::string*> into)
{
    const auto operands = reader.operands();
    if (operands.size() != into.size()) {
        misuse(complaint);
        return false;
    }
    auto operand = operands.begin();
    for (std::string* one : into) {
        *one = *operand++;
    }
    return true;
}

bool take_one_operand(const OptionReader& reader, std::string& path)
{
    return take_operands(reader, "Expecting one image file name", {&path});
}

namespace {

OpenOptions trusting_options(const Common& common, const std::string& format)
{
    OpenOptions options{.path = {}, .format = format};
    options.share = common.share;
    options.secrets = &common.secrets;
    options.backing = {.nodes = true, .trust_probed = true, .trust_data_files = true};
    return options;
}

} // namespace

Result<OpenOptions> named_options(const Common& common, const std::string& name,
                                  const std::string& format)
{
    OpenOptions options = trusting_options(common, format);
    if (auto used = node::use_name(options, name); !used) {
        return std::move(used).error().in("Could not open '" + name + "'");
    }
    return options;
}

Result<OpenOptions> open_options(const Common& common, const std::string& name,
                                 const std::string& format)
{
    if (!common.image_opts) {
        return named_options(common, name, format);
    }
    if (!format.empty()) {
        return base::fail(base::Errc::invalid_argument,
                          "--image-opts and --format are mutually exclusive");
    }
    OpenOptions options = trusting_options(common, format);
    if (auto used = node::use_image_opts(options, name); !used) {
        return std::move(used).error().in("Could not open '" + name + "'");
    }
    return options;
}

} // namespace img::cli
