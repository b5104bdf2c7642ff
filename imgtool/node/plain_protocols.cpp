// Protocols that are quickly said: host files, nothing at all, faults, and a quorum of files.
#include "imgtool/node/protocols.hpp"
#include "imgtool/source/fault.hpp"
#include "imgtool/source/file_source.hpp"
#include "imgtool/source/null_source.hpp"
#include "imgtool/source/quorum_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sys/stat.h>

namespace img::node {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kNullSize = u64{1} << 30; // bytes, when none is given

Status check_choice(Options& options, std::string_view name,
                    std::initializer_list<std::string_view> words)
{
    const auto value = options.take(name);
    if (value && std::ranges::find(words, *value) == words.end()) {
        return fail(Errc::invalid_argument, "invalid parameter value: " + *value);
    }
    return base::ok();
}

Result<OpenedSource> open_file(Options& options, const How& how)
{
    const auto name = options.take_value("filename");
    if (!name || name->kind != Value::Kind::text || name->text.empty()) {
        return fail(Errc::invalid_argument, "The 'file' block driver requires a file name");
    }
    const Value* locking = options.find("locking");
    const bool unlocked = locking != nullptr && text_of(*locking) == "off";
    if (auto good = check_choice(options, "locking", {"on", "off", "auto"}); !good) {
        return std::move(good).error();
    }
    if (auto good = check_choice(options, "aio", {"threads", "native", "io_uring"}); !good) {
        return std::move(good).error();
    }
    for (const std::string_view ignored : {"drop-cache", "x-check-cache-dropped"}) {
        if (auto good = take_boolean(options, ignored); !good) {
            return std::move(good).error();
        }
    }
    if (auto good = take_number(options, "aio-max-batch"); !good) {
        return std::move(good).error();
    }
    if (name->text.starts_with("/dev/fdset/")) {
        return fail(
            Errc::unsupported,
            fmt::format("Could not open '{}': file descriptor sets are not supported", name->text));
    }
    auto file = FileSource::open(
        name->text, how.read_only ? FileSource::Access::read_only : FileSource::Access::read_write,
        how.share || unlocked ? Locking::off : Locking::on);
    if (!file) {
        return std::move(file).error();
    }
    file.value()->set_unsafe(how.unsafe);
    file.value()->set_direct(how.direct);
    OpenedSource opened{.file = std::move(file).value(),
                        .name = {.exact = name->text, .is_protocol = true, .origin = name->text}};
    opened.name.full.add("filename", *name);
    return opened;
}

Result<OpenedSource> open_host_device(Options& options, const How& how)
{
    const Value* name = options.find("filename");
    struct stat st = {};
    if (name != nullptr && ::stat(name->text.c_str(), &st) == 0 && !S_ISBLK(st.st_mode)) {
        return fail(Errc::invalid_argument,
                    fmt::format("'host_device' driver requires '{}' to be either a character or "
                                "block device",
                                name->text));
    }
    return open_file(options, how);
}

Result<Options> parse_file(std::string_view name)
{
    Options options;
    options.set("filename", std::string{name.substr(name.find(':') + 1)});
    return options;
}

Result<OpenedSource> open_null(Options& options, const How&)
{
    Value full = Value::object();
    for (const std::string_view part : {"size", "read-zeroes"}) {
        if (const Value* value = options.find(part)) {
            full.add(std::string{part}, *value);
        }
    }
    auto size = take_size(options, "size");
    auto zeroes = take_boolean(options, "read-zeroes");
    auto latency = take_number(options, "latency-ns");
    if (!size || !zeroes || !latency) {
        return !size     ? std::move(size).error()
               : !zeroes ? std::move(zeroes).error()
                         : std::move(latency).error();
    }
    const std::string exact = full.members.empty() ? "null-co://" : "";
    return OpenedSource{
        .file = std::make_unique<NullSource>("null-co://", size.value().value_or(kNullSize),
                                             zeroes.value().value_or(false)),
        .name = {.exact = exact,
                 .full = std::move(full),
                 .is_protocol = true,
                 .no_origin = "Cannot generate a base directory for null-co nodes"}};
}

Result<Options> parse_null(std::string_view name)
{
    // The empty name, written as a URL, is the only one there is.
    if (name != "null-co://" && name != "null-aio://") {
        return fail(Errc::invalid_argument,
                    fmt::format("The only allowed filename for this driver is '{}://'",
                                name.substr(0, name.find(':'))));
    }
    return Options{};
}

Result<OpenedSource> open_fault(Options& options, const How& how)
{
    Value full = Value::object();
    for (const auto& [key, value] : options.entries()) {
        if (key.starts_with("inject-error.") || key.starts_with("set-state.")) {
            full.add(key, value);
        }
    }
    const Value* config_value = options.find("config");
    const std::string config = config_value != nullptr ? text_of(*config_value) : "";
    if (!config.empty()) {
        full.add("config", *config_value);
    }
    const bool plain = full.members.size() == (config.empty() ? 0U : 1U);
    auto faults = Faults::take(options);
    if (!faults) {
        return std::move(faults).error();
    }
    Options image = options.take_under("image");
    if (image.empty()) {
        return fail(Errc::invalid_argument, "A block device must be specified for \"image\"");
    }
    auto below = open_source(std::move(image), how);
    if (!below) {
        return below;
    }
    OpenedSource& opened = below.value();
    NodeName name{.exact = plain && !opened.name.exact.empty()
                               ? fmt::format("blkdebug:{}:{}", config, opened.name.exact)
                               : "",
                  .full = std::move(full),
                  .is_protocol = true,
                  .origin = opened.name.origin,
                  .no_origin = opened.name.no_origin};
    name.full.add("image", std::move(opened.name.full));
    return OpenedSource{
        .file = std::make_unique<FaultSource>(std::move(opened.file), std::move(faults).value()),
        .name = std::move(name)};
}

/// "blkdebug:config:image".
Result<Options> parse_fault(std::string_view name)
{
    const std::string_view rest = name.substr(name.find(':') + 1);
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos) {
        return fail(Errc::invalid_argument, "blkdebug requires both config file and image path");
    }
    Options options;
    if (colon != 0) {
        options.set("config", std::string{rest.substr(0, colon)});
    }
    const std::string_view image = rest.substr(colon + 1);
    if (!has_protocol(image)) {
        options.set("image.filename", std::string{image});
        return options;
    }
    auto parsed = parse_name(image);
    if (!parsed) {
        return parsed;
    }
    const Options file = parsed.value().take_under("file");
    for (const auto& [key, value] : file.entries()) {
        options.set("image." + key, value);
    }
    return options;
}

Result<OpenedSource> open_quorum(Options& options, const How& how)
{
    const Value* shown_threshold = options.find("vote-threshold");
    const Value votes = shown_threshold != nullptr ? *shown_threshold : Value{};
    auto threshold = take_number(options, "vote-threshold");
    if (!threshold) {
        return std::move(threshold).error();
    }
    std::vector<std::unique_ptr<ByteSource>> files;
    Value children{Value::Kind::list, {}, {}};
    for (Options& child : options.take_list("children")) {
        auto opened = open_source(std::move(child), how);
        if (!opened) {
            return opened;
        }
        files.push_back(std::move(opened.value().file));
        children.add("", std::move(opened.value().name.full));
    }
    if (files.empty()) {
        return fail(Errc::invalid_argument, "Number of provided children must be 1 or more");
    }
    const u64 needed = threshold.value().value_or(0);
    if (needed == 0) {
        return fail(Errc::invalid_argument, "Parameter 'vote-threshold' expects a value >= 1");
    }
    if (needed > files.size()) {
        return fail(Errc::invalid_argument, "threshold may not exceed children count");
    }
    NodeName name{.is_protocol = true,
                  .no_origin = "Cannot generate a base directory for quorum nodes"};
    name.full.add("children", std::move(children));
    name.full.add("vote-threshold", votes);
    return OpenedSource{.file = std::make_unique<QuorumSource>(std::move(files), needed),
                        .name = std::move(name)};
}

constexpr std::array<std::string_view, 1> kFilePrefix{"file"};
constexpr std::array<std::string_view, 1> kHostDevicePrefix{"host_device"};
constexpr std::array<std::string_view, 1> kNullCoPrefix{"null-co"};
constexpr std::array<std::string_view, 1> kNullAioPrefix{"null-aio"};
constexpr std::array<std::string_view, 1> kFaultPrefix{"blkdebug"};

} // namespace

const Protocol kFileProtocol{"file", kFilePrefix, parse_file, open_file};
const Protocol kHostDeviceProtocol{
    "host_device", kHostDevicePrefix, parse_file, open_host_device, true, true};
const Protocol kNullCoProtocol{"null-co", kNullCoPrefix, parse_null, open_null};
const Protocol kNullAioProtocol{"null-aio", kNullAioPrefix, parse_null, open_null};
const Protocol kFaultProtocol{"blkdebug", kFaultPrefix, parse_fault, open_fault};
const Protocol kQuorumProtocol{"quorum", {}, nullptr, open_quorum, false};

} // namespace img::node
