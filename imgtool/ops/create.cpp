#include "imgtool/ops/create.hpp"

#include "imgtool/formats/all.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"
#include "imgtool/open.hpp"
#include "imgtool/ops/file_options.hpp"
#include "imgtool/source/file_source.hpp"
#include "imgtool/source/growing_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <unistd.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr std::string_view kSuffixes = "bkmgtpe"; // each 1024 times the one before

} // namespace

Result<std::string> check_value(const CreateOption& option, const std::string& value)
{
    if (option.type == CreateOption::Type::text) {
        return value;
    }
    if (option.type == CreateOption::Type::boolean) {
        if (value == "on" || value == "yes" || value == "true" || value == "y") {
            return std::string{"on"};
        }
        if (value == "off" || value == "no" || value == "false" || value == "n") {
            return std::string{"off"};
        }
        return fail(Errc::invalid_argument,
                    fmt::format("Parameter '{}' expects 'on' or 'off'", option.name));
    }
    if (option.type == CreateOption::Type::number) {
        char* end = nullptr;
        errno = 0;
        const unsigned long long number = std::strtoull(value.c_str(), &end, 0);
        if (value.empty() || *end != '\0' || errno != 0) { // -1 is the highest, as QEMU takes it
            return fail(Errc::invalid_argument,
                        fmt::format("Parameter '{}' expects a number", option.name));
        }
        return std::to_string(number);
    }
    auto size = parse_size(value);
    if (!size) {
        return fail(Errc::invalid_argument,
                    fmt::format("Parameter '{}' expects a non-negative number below 2^64\n"
                                "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, "
                                "tera-, peta-\nand exabytes, respectively.",
                                option.name));
    }
    return std::to_string(size.value());
}

Result<u64> parse_size(const std::string& text)
{
    const char* begin = text.c_str();
    char* end = nullptr;
    if (std::isdigit(static_cast<unsigned char>(*begin)) == 0 && *begin != '.') {
        return fail(Errc::invalid_argument, "not a size: " + text);
    }
    errno = 0;
    const unsigned long long whole = std::strtoull(begin, &end, text.starts_with("0x") ? 16 : 10);
    const bool too_large = errno == ERANGE;
    double fraction = 0;
    if (*end == '.' && !text.starts_with("0x")) {
        const char* dot = end;
        fraction = std::strtod(dot, &end);
        if (end == dot || !std::isfinite(fraction) || fraction >= 1) {
            return fail(Errc::invalid_argument, "not a size: " + text);
        }
    }
    unsigned shift = 0;
    if (*end != '\0') {
        const auto suffix =
            kSuffixes.find(static_cast<char>(std::tolower(static_cast<unsigned char>(*end))));
        if (suffix == std::string_view::npos || end[1] != '\0') {
            return fail(Errc::invalid_argument, "not a size: " + text);
        }
        shift = static_cast<unsigned>(suffix) * 10;
    }
    if (shift == 0 && fraction != 0) {
        return fail(Errc::invalid_argument, "not a whole number of bytes: " + text);
    }
    if (too_large || whole > static_cast<u64>(INT64_MAX) >> shift) {
        return fail(Errc::unsupported, "too large: " + text);
    }
    return (u64{whole} << shift) +
           static_cast<u64>(fraction * static_cast<double>(u64{1} << shift) + 0.5);
}

Result<CreateSettings> complete_settings(const FormatDriver& format, const CreateSettings& given)
{
    return complete_settings(with_file_options(format), given);
}

Result<CreateSettings> complete_settings(std::span<const CreateOption> options,
                                         const CreateSettings& given)
{
    for (const auto& [name, value] : given) {
        const auto known = [&, &name = name](const CreateOption& o) { return o.name == name; };
        if (std::ranges::none_of(options, known)) {
            return fail(Errc::invalid_argument, fmt::format("Invalid parameter '{}'", name));
        }
    }
    CreateSettings complete;
    for (const CreateOption& option : options) {
        std::string value{option.preset};
        bool set = !value.empty();
        for (const auto& [name, given_value] : given) { // the last one counts
            if (name == option.name) {
                value = given_value;
                set = true;
            }
        }
        if (!set) {
            continue;
        }
        auto checked = check_value(option, value);
        if (!checked) {
            return std::move(checked).error();
        }
        complete.emplace_back(option.name, std::move(checked).value());
    }
    return complete;
}

namespace {

/// Makes further files of an image, next to its first at `path`, and notes those that were not
/// there before.
OpenSibling sibling_maker(const std::string& path, const CreateSettings& completed,
                          Unfinished& made)
{
    return
        [path, &completed, &made](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
            auto resolved = resolve_backing(path, name);
            if (!resolved) {
                return std::move(resolved).error();
            }
            const bool existed = ::access(resolved.value().c_str(), F_OK) == 0;
            auto file = FileSource::create(resolved.value());
            if (!file) {
                return std::move(file).error();
            }
            if (!existed) {
                made.add(resolved.value());
            }
            apply_file_options(*file.value(), completed);
            return std::unique_ptr<ByteSource>{std::move(file).value()};
        };
}

/// Opens the file of an image that the user named, to be read.
OpenSibling sibling_reader(const std::string& path, const Secrets* secrets)
{
    return [path, secrets](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
        OpenOptions options{.path = {}, .backing = {.nodes = true}, .secrets = secrets};
        if (auto used = node::use_name(options, *node::join_name(path, name)); !used) {
            return std::move(used).error();
        }
        if (options.node == nullptr) {
            auto file = FileSource::open(options.path, FileSource::Access::read_only, Locking::on);
            if (!file) {
                return std::move(file).error();
            }
            return std::unique_ptr<ByteSource>{std::move(file).value()};
        }
        node::Options tree = *options.node;
        if (node::Options file = tree.take_under("file"); !file.empty()) {
            tree = std::move(file);
        }
        auto opened = node::open_source(
            std::move(tree),
            node::How{.options = options, .read_only = true, .share = false, .unsafe = false});
        if (!opened) {
            return std::move(opened).error();
        }
        return std::move(opened.value().file);
    };
}

/// Some formats do not note what they do not know; the others do not care.
Status check_backing_format(const FormatDriver& format, const CreateSettings& completed)
{
    const auto set = std::ranges::find(
        completed, "backing_fmt", [](const auto& s) -> const auto& { return s.first; });
    if (set == completed.end() || find_format(set->second) != nullptr ||
        node::find_protocol(set->second) != nullptr || format.name == "vmdk") {
        return base::ok();
    }
    return fail(
        Errc::invalid_argument,
        format.name == "qcow"
            ? fmt::format("unrecognized backing format '{}'", set->second)
            : fmt::format("Parameter 'backing-fmt' does not accept value '{}'", set->second));
}

/// The file that an image is to be made in.
struct Target {
    std::string path; // as further files' names are seen from; not of a host file when `is_node`
    bool is_node = false;
    std::unique_ptr<ByteSource> file = {};
};

/// Opens what a name with a protocol leads to; it is there already, and stays as long as it is.
Result<Target> open_node_target(const std::string& name, const Secrets* secrets)
{
    const std::string driver = name.substr(0, name.find_first_of(":+"));
    const auto failed = [&](base::Error error) {
        return std::move(error).in(
            fmt::format("Protocol driver '{}' does not support image creation, and opening the "
                        "image failed",
                        driver));
    };
    auto tree = node::parse_name(name);
    if (!tree) {
        return failed(std::move(tree).error());
    }
    const OpenOptions options{.path = name, .read_only = false, .secrets = secrets};
    node::Options file = tree.value().take_under("file");
    auto opened = node::open_source(
        std::move(file),
        node::How{.options = options, .read_only = false, .share = false, .unsafe = false});
    if (!opened) {
        return failed(std::move(opened).error());
    }
    return Target{.path = name, .is_node = true, .file = std::move(opened.value().file)};
}

/// Opens the file, empty where it can be emptied.
Result<Target> open_target(const std::string& name, const CreateSettings& completed,
                           const Secrets* secrets)
{
    if (node::takes_images(name)) {
        return open_node_target(name, secrets);
    }
    auto path = node::plain_path(name);
    if (!path) {
        return std::move(path).error();
    }
    auto file = FileSource::create(path.value());
    if (!file) {
        return std::move(file).error();
    }
    apply_file_options(*file.value(), completed);
    return Target{.path = std::move(path).value(), .file = std::move(file).value()};
}

} // namespace

Status create_in(const FormatDriver& format, ByteSource& file, const CreateSettings& completed,
                 CreateContext& context)
{
    if (format.shows_old_bytes) {
        return format.create(file, completed, context);
    }
    context.file_end = file.fixed_size() ? file.size() : 0;
    return make_in_empty(
        file, [&](ByteSource& empty) { return format.create(empty, completed, context); });
}

Status create_image(const FormatDriver& format, const std::string& name,
                    const CreateSettings& completed, const Secrets* secrets,
                    const Identity& identity, Unfinished* keeper)
{
    if (format.create == nullptr) {
        return fail(Errc::unsupported,
                    fmt::format("Format driver '{}' does not support image creation", format.name));
    }
    if (auto good = format.check_settings(completed); !good) {
        return good; // whatever is at `path` stays as it is
    }
    if (auto good = check_file_options(format, completed); !good) {
        return good;
    }
    if (auto good = check_backing_format(format, completed); !good) {
        return good;
    }
    auto opened = open_target(name, completed, secrets);
    if (!opened) {
        return std::move(opened).error();
    }
    const auto& [path, is_node, file] = opened.value();
    Unfinished files;
    if (!is_node) {
        files.add(path); // what it had been was lost when it was made empty
    }
    const std::string place = format.names_from_cwd ? path.substr(path.rfind('/') + 1) : path;
    CreateContext context{.make_sibling = sibling_maker(place, completed, files),
                          .open_sibling = sibling_reader(path, secrets),
                          .secrets = secrets,
                          .identity = &identity};
    auto made = create_in(format, *file, completed, context);
    if (made && keeper != nullptr) {
        files.hand_to(*keeper);
    } else if (made) {
        files.keep();
    }
    return made;
}

} // namespace img
