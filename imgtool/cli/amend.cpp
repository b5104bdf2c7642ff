// imgtool amend
#include "imgtool/cli/errors.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    std::string cache = "writeback";
    CreateSettings settings;
    bool has_options = false;
    bool help = false;
    bool force = false;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'o':
        if (*value == '\0') {
            report(fmt::format("Invalid option list: {}", value));
            return false;
        }
        request.has_options = true;
        parse_settings(value, request.settings, request.help);
        return true;
    case 'f':
        request.format = value;
        return true;
    case 't':
        request.cache = value;
        return true;
    case kOptForce:
        request.force = true;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 4>{{{"force", no_argument, nullptr, kOptForce},
                                           {"format", required_argument, nullptr, 'f'},
                                           {"cache", required_argument, nullptr, 't'},
                                           {"options", required_argument, nullptr, 'o'}}});
    OptionReader reader{argc, argv, "ho:f:t:pq", kLong.data()};
    if (!read_options(reader, request, take)) {
        return false;
    }
    if (!request.has_options) {
        misuse("Must specify options (-o)");
        return false;
    }
    if (!reader.operands().empty()) {
        request.path = reader.operands().back(); // as qemu-img takes it for -o help
    }
    if (!request.help && reader.operands().size() != 1) {
        report("Expecting one image file name");
        return false;
    }
    return true;
}

int print_amend_options(const FormatDriver& format)
{
    if (format.amend_options.empty()) {
        return report(
            fmt::format("Format driver '{}' does not support option amendment", format.name));
    }
    std::vector<const CreateOption*> sorted;
    for (const CreateOption& o : format.amend_options) {
        sorted.push_back(&o);
    }
    std::ranges::sort(sorted, {}, [](const CreateOption* o) { return o->name; });
    std::printf("Amend options for '%s':\n", format.name.data());
    for (const CreateOption* o : sorted) {
        print_option(*o);
    }
    return kSuccess;
}

/// Those of create are named, to say why they cannot be changed.
int report_unknown(const FormatDriver& format, const Request& request)
{
    for (const auto& [name, value] : request.settings) {
        const auto is_it = [&, &n = name](const CreateOption& o) { return o.name == n; };
        if (std::ranges::any_of(format.amend_options, is_it)) {
            continue;
        }
        const bool of_create = std::ranges::any_of(format.create_options, is_it);
        return report(
            fmt::format("Invalid parameter '{}'{}", name,
                        of_create ? "\nThis option is only supported for image creation" : ""));
    }
    return kSuccess;
}

int amend(const Request& request, ChainDisk& disk)
{
    Layer& top = disk.layers().front();
    const FormatDriver& format = *find_format(top.format);
    if (format.amend_options.empty()) {
        return report(
            fmt::format("Format driver '{}' does not support option amendment", format.name));
    }
    if (const int code = report_unknown(format, request); code != kSuccess) {
        return code;
    }
    auto settings = complete_settings(format.amend_options, request.settings);
    if (!settings) {
        return report(settings.error().message);
    }
    for (const auto& [name, value] : settings.value()) {
        if (name != "size") {
            continue;
        }
        if (auto done = disk.prepare_resize(std::strtoull(value.c_str(), nullptr, 10)); !done) {
            return report(done.error().message);
        }
    }
    Progress progress{request.common.progress};
    progress.show(0);
    OpenContext context{.secrets = &request.common.secrets};
    context.progress = [&](u64 done, u64 total) {
        progress.show(total == 0 ? 100.0
                                 : 100.0 * static_cast<double>(done) / static_cast<double>(total));
    };
    if (auto done = top.image->amend(settings.value(), context, request.force); !done) {
        return report_caused("", done.error().message);
    }
    if (auto done = disk.flush(); !done) {
        return report(done.error().message);
    }
    progress.show(100);
    return kSuccess;
}

} // namespace

int run_amend(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    if (request.help && !request.format.empty()) {
        const FormatDriver* format = find_format(request.format);
        return format != nullptr ? print_amend_options(*format)
                                 : report(fmt::format("Unknown file format '{}'", request.format));
    }
    if (request.path.empty()) {
        return report("Expecting one image file name");
    }
    if (!is_cache_mode(request.cache)) {
        return report(fmt::format("Invalid cache option: {}", request.cache));
    }
    const auto disk = open_named(
        request.common,
        {.path = request.path, .format = request.format, .writable = true, .cache = request.cache});
    if (!disk) {
        return kFailure;
    }
    if (request.help) {
        return print_amend_options(*find_format(disk->layers().front().format));
    }
    return amend(request, *disk);
}

} // namespace img::cli
