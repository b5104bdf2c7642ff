// imgtool measure
#include "imgtool/ops/measure.hpp"
#include "imgtool/cli/numbers.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/snapshot_choice.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace img::cli {

namespace {

struct Request {
    std::optional<std::string> path;
    std::optional<std::string> format; // -f
    SnapshotChoice snapshot;           // -l
    std::string target = "raw";        // -O
    CreateSettings settings;           // -o
    std::optional<u64> size;
    bool help = false;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 'l':
        return take_snapshot(value, request.snapshot);
    case 'O':
        request.target = value;
        return true;
    case 'o':
        return take_settings(value, request.settings, request.help);
    case 's':
        request.size = parse_bytes(value, "image size");
        return request.size.has_value();
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 5>{{{"size", required_argument, nullptr, 's'},
                                           {"format", required_argument, nullptr, 'f'},
                                           {"options", required_argument, nullptr, 'o'},
                                           {"snapshot", required_argument, nullptr, 'l'},
                                           {"target-format", required_argument, nullptr, 'O'}}});
    OptionReader reader{argc, argv, "hf:l:o:O:s:U", kLong.data()};
    if (!read_options(reader, request, take)) {
        return false;
    }
    const auto operands = reader.operands();
    if (operands.size() > 1) {
        report("At most one filename argument is allowed.");
        return false;
    }
    if (operands.size() == 1) {
        request.path = operands[0];
    } else if (request.common.image_opts || request.format || request.snapshot.given()) {
        report("--image-opts, -f, and -l require a filename argument.");
        return false;
    }
    if (!request.path && !request.size) {
        report("Either --size N or one filename must be specified.");
        return false;
    }
    if (request.path && request.size) {
        report("--size N cannot be used together with a filename.");
        return false;
    }
    return true;
}

/// The image that is to be measured; nothing when it was reported why not.
std::unique_ptr<ChainDisk> open_source(const Request& request)
{
    auto disk =
        open_named(request.common, {.path = *request.path, .format = request.format.value_or("")});
    if (disk && !view_snapshot(*disk, request.snapshot)) {
        return nullptr;
    }
    return disk;
}

void print(const Measurement& m, Output output)
{
    if (output == Output::human) {
        std::printf("required size: %llu\nfully allocated size: %llu\n",
                    static_cast<unsigned long long>(m.required),
                    static_cast<unsigned long long>(m.fully_allocated));
        if (m.bitmaps) {
            std::printf("bitmaps size: %llu\n", static_cast<unsigned long long>(*m.bitmaps));
        }
        return;
    }
    JsonWriter json;
    json.begin_object();
    if (m.bitmaps) {
        json.key("bitmaps");
        json.value(*m.bitmaps);
    }
    json.key("required");
    json.value(m.required);
    json.key("fully-allocated");
    json.value(m.fully_allocated);
    json.end_object();
    std::printf("%s\n", json.text().c_str());
}

} // namespace

int run_measure(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    std::unique_ptr<ChainDisk> disk;
    if (request.path) {
        disk = open_source(request);
        if (!disk) {
            return kFailure;
        }
    }
    const FormatDriver* format = find_format(request.target);
    if (format == nullptr) {
        return report(fmt::format("Unknown file format '{}'", request.target));
    }
    auto completed = complete_settings(*format, request.settings);
    if (!completed) {
        report(completed.error().message);
        return report(fmt::format("Invalid options for file format '{}'", format->name));
    }
    if (format->measure == nullptr) {
        return report(
            fmt::format("Block driver '{}' does not support size measurement", format->name));
    }
    Content content = disk ? content_of(*disk) : Content{.size = *request.size};
    content.secrets = &request.common.secrets;
    auto measured = format->measure(completed.value(), content);
    if (!measured) {
        return report(measured.error().message);
    }
    print(measured.value(), request.common.output);
    return kSuccess;
}

} // namespace img::cli
