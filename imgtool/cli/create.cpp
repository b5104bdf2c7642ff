// imgtool create
#include "imgtool/ops/create.hpp"
#include "imgtool/cli/command.hpp"
#include "imgtool/cli/object.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"
#include "imgtool/open.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace img::cli {

namespace {

constexpr std::string_view kDetectedHint = "\nDetected format of ";

struct Request {
    std::string format = "raw";
    std::string path;
    CreateSettings settings;
    std::optional<u64> size;
    bool help = false;
    bool quiet = false;
    Secrets secrets;
    bool trust_backing = false; // -u: do not look at the backing file
};

const std::string* find(const CreateSettings& settings, std::string_view name)
{
    const std::string* found = nullptr;
    for (const auto& [key, value] : settings) {
        found = key == name ? &value : found;
    }
    return found;
}

bool read_size(const char* text, std::optional<u64>& size)
{
    auto parsed = parse_size(text);
    if (parsed) {
        size = parsed.value();
        return true;
    }
    if (parsed.error().code == base::Errc::unsupported) {
        report("Invalid image size specified. Must be between 0 and 9223372036854775807.");
    } else {
        report("Invalid image size specified. You may use k, M, G, T, P or E suffixes for");
        report("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    }
    return false;
}

bool parse(int argc, char** argv, Request& request)
{
    constexpr std::array<option, 9> kLong{{{"help", no_argument, nullptr, 'h'},
                                           {"backing", required_argument, nullptr, 'b'},
                                           {"backing-format", required_argument, nullptr, 'F'},
                                           {"backing-unsafe", no_argument, nullptr, 'u'},
                                           {"format", required_argument, nullptr, 'f'},
                                           {"options", required_argument, nullptr, 'o'},
                                           {"object", required_argument, nullptr, kOptObject},
                                           {"quiet", no_argument, nullptr, 'q'},
                                           {}}};
    OptionReader reader{argc, argv, "F:b:f:ho:qu", kLong.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        switch (c) {
        case 'F':
            request.settings.emplace_back("backing_fmt", reader.value());
            break;
        case 'b':
            request.settings.emplace_back("backing_file", reader.value());
            break;
        case 'f':
            request.format = reader.value();
            break;
        case 'o':
            if (!take_settings(reader.value(), request.settings, request.help)) {
                return false;
            }
            break;
        case 'q':
            request.quiet = true;
            break;
        case 'u':
            request.trust_backing = true;
            break;
        case kOptObject:
            if (auto added = add_object(reader.value(), request.secrets); !added) {
                report(added.error().message);
                return false;
            }
            break;
        default:
            return false;
        }
    }
    const auto operands = reader.operands();
    if (request.help) {
        request.path = operands.empty() ? "" : operands[0];
        return true;
    }
    if (operands.empty()) {
        misuse("Expecting image file name");
        return false;
    }
    request.path = operands[0];
    if (operands.size() > 2) {
        misuse(fmt::format("Unexpected argument: {}", operands[2]));
        return false;
    }
    return operands.size() < 2 || read_size(operands[1], request.size);
}

/// Looks at the backing file and takes the size from it where none is given.
Status use_backing(const Request& request, std::optional<u64>& size)
{
    const std::string* name = find(request.settings, "backing_file");
    const std::string* format = find(request.settings, "backing_fmt");
    if (name == nullptr) {
        return base::ok();
    }
    if (name->empty()) {
        return base::fail(base::Errc::invalid_argument,
                          "Expected backing file name, got empty string");
    }
    const auto fail = [](std::string message) {
        return base::fail(base::Errc::invalid_argument, std::move(message));
    };
    if (*name == request.path) {
        return fail("Error: Trying to create an image with the same filename as the backing file");
    }
    if (request.trust_backing) {
        return base::ok();
    }
    if (format != nullptr && find_format(*format) == nullptr) {
        return fail(fmt::format("Unknown driver '{}'\nCould not open backing image.", *format));
    }
    OpenOptions options{.path = {},
                        .format = format != nullptr ? *format : std::string{},
                        .backing = {.nodes = true, .trust_probed = true, .trust_data_files = true},
                        .no_io = true}; // only the size is asked for, so no key is
    if (auto used = node::use_name(options, *node::join_name(request.path, *name)); !used) {
        return fail(used.error().message + "\nCould not open backing image.");
    }
    auto disk = open_chain(options);
    if (!disk) {
        return fail(disk.error().message + "\nCould not open backing image.");
    }
    if (format == nullptr) {
        return fail(fmt::format("Backing file specified without backing format{}{}.", kDetectedHint,
                                disk.value()->layers().front().format));
    }
    if (!size) {
        size = disk.value()->size();
    }
    return base::ok();
}

std::string describe(const Request& request, const CreateSettings& settings)
{
    std::string text = fmt::format("Formatting '{}', fmt={}", request.path, request.format);
    for (const auto& [name, value] : settings) {
        text += fmt::format(" {}=", name);
        for (const char c : value) {
            text += c == ',' ? std::string{",,"} : std::string{c}; // as it would be given to -o
        }
    }
    return text + "\n";
}

Status create(const Request& request, const FormatDriver& format)
{
    if (node::has_protocol(request.path)) {
        if (auto known = node::parse_name(request.path); !known) {
            return std::move(known).error();
        }
    }
    // Types and names first: nothing is looked at for a request that makes no sense.
    CreateSettings settings = request.settings;
    const std::string* size_setting = find(request.settings, "size");
    if (size_setting != nullptr && request.size) {
        return base::fail(base::Errc::invalid_argument,
                          "The image size must be specified only once");
    }
    if (format.create == nullptr) {
        return base::fail(
            base::Errc::unsupported,
            fmt::format("Format driver '{}' does not support image creation", format.name));
    }
    const std::string* backing = find(request.settings, "backing_file");
    if (!format.has_backing && backing != nullptr) {
        return base::fail(
            base::Errc::invalid_argument,
            fmt::format("Backing file not supported for file format '{}'", request.format));
    }
    if (auto checked = complete_settings(format, settings); !checked) {
        return std::move(checked).error();
    }
    std::optional<u64> size = request.size;
    if (size_setting != nullptr) {
        auto parsed = parse_size(*size_setting);
        if (!parsed) {
            return std::move(parsed).error();
        }
        size = parsed.value();
    }
    if (auto used = use_backing(request, size); !used) {
        return used;
    }
    if (!size) {
        return base::fail(base::Errc::invalid_argument, "Image creation needs a size parameter");
    }
    settings.emplace_back("size", std::to_string(*size));
    auto completed = complete_settings(format, settings);
    if (!completed) {
        return std::move(completed).error();
    }
    if (!request.quiet) {
        std::fputs(describe(request, completed.value()).c_str(), stdout);
        std::fflush(stdout);
    }
    return create_image(format, request.path, completed.value(), &request.secrets);
}

} // namespace

int run_create(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    const FormatDriver* format = find_format(request.format);
    if (format == nullptr) {
        return report(request.help ? fmt::format("Unknown file format '{}'", request.format)
                                   : fmt::format("{}: Unknown file format '{}'", request.path,
                                                 request.format));
    }
    if (request.help) {
        return print_create_options(*format, !request.path.empty());
    }
    if (auto made = create(request, *format); !made) {
        const std::string& message = made.error().message;
        if (message.find(kDetectedHint) == std::string::npos) {
            return report(fmt::format("{}: {}", request.path, message));
        }
        // qemu-img does not end this line, and scripts compare.
        std::fprintf(stderr, "%s: %s: %s", program_name().c_str(), request.path.c_str(),
                     message.c_str());
        return kFailure;
    }
    return kSuccess;
}

} // namespace img::cli
