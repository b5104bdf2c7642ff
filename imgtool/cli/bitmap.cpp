// imgtool bitmap
#include "imgtool/bitmap.hpp"

#include "imgtool/cli/open_named.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <vector>

namespace img::cli {

namespace {

enum class Act : u8 { add, remove, clear, enable, disable, merge };

struct Action {
    Act act;
    std::string source = {}; // of merge
};

constexpr std::array<std::string_view, 6> kNames{"add",    "remove",  "clear",
                                                 "enable", "disable", "merge"};

struct Request {
    std::vector<Action> actions;
    u64 granularity = 0; // bytes; 0: not given
    std::string source_path;
    std::string source_format;
    std::string path;
    std::string format;
    std::string bitmap;
    Common common;
};

bool has(const Request& request, Act act)
{
    return std::ranges::any_of(request.actions, [act](const Action& a) { return a.act == act; });
}

bool parse_granularity(const char* value, Request& request)
{
    auto size = parse_size(value);
    if (!size || size.value() == 0) {
        report("Invalid granularity specified. You may use k, M, G, T, P or E suffixes for");
        report("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
        return false;
    }
    request.granularity = size.value();
    return true;
}

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'b':
        request.source_path = value;
        return true;
    case 'f':
        request.format = value;
        return true;
    case 'F':
        request.source_format = value;
        return true;
    case 'g':
        return parse_granularity(value, request);
    default:
        break;
    }
    if (c < kOptBitmapAdd || c > kOptBitmapMerge) {
        return false;
    }
    const auto act = static_cast<Act>(c - kOptBitmapAdd);
    request.actions.push_back({act, act == Act::merge ? value : ""});
    return true;
}

/// What does not go together; false when it was reported.
bool check(const Request& request, std::span<char*> operands)
{
    std::string_view wrong;
    if (operands.size() != 2) {
        wrong = "Expecting filename and bitmap name";
    }
    if (request.actions.empty()) {
        wrong = "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge";
    } else if (request.granularity != 0 && !has(request, Act::add)) {
        wrong = "granularity only supported with --add";
    } else if (!request.source_format.empty() && request.source_path.empty()) {
        wrong = "-F only supported with -b";
    } else if (!request.source_path.empty() && !has(request, Act::merge)) {
        wrong = "Merge bitmap source file only supported with --merge";
    }
    if (!wrong.empty()) {
        report(wrong);
    }
    return wrong.empty();
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong = with_common(
        std::array<option, 10>{{{"format", required_argument, nullptr, 'f'},
                                {"source-file", required_argument, nullptr, 'b'},
                                {"source-format", required_argument, nullptr, 'F'},
                                {"granularity", required_argument, nullptr, 'g'},
                                {"add", no_argument, nullptr, kOptBitmapAdd},
                                {"remove", no_argument, nullptr, kOptBitmapRemove},
                                {"clear", no_argument, nullptr, kOptBitmapClear},
                                {"enable", no_argument, nullptr, kOptBitmapEnable},
                                {"disable", no_argument, nullptr, kOptBitmapDisable},
                                {"merge", required_argument, nullptr, kOptBitmapMerge}}});
    OptionReader reader{argc, argv, "b:f:F:g:h", kLong.data()};
    if (!read_options(reader, request, take)) {
        return false;
    }
    if (!check(request, reader.operands())) {
        return false;
    }
    request.path = reader.operands()[0];
    request.bitmap = reader.operands()[1];
    return true;
}

Status merge(const Request& request, BitmapStore& store, BitmapStore* source,
             const std::string& name)
{
    if (source == nullptr) {
        return base::fail(base::Errc::invalid_argument,
                          fmt::format("Dirty bitmap '{}' not found", name));
    }
    auto bits = source->load(name);
    if (!bits) {
        return std::move(bits).error();
    }
    const auto all = source->list();
    const auto info = std::ranges::find(all, name, &BitmapInfo::name); // it was loaded just now
    return store.merge(request.bitmap, bits.value(), info->granularity);
}

Status perform(const Request& request, const Action& action, ChainDisk& disk, BitmapStore* source)
{
    Image& image = *disk.layers().front().image;
    BitmapStore* store = image.bitmaps();
    if (store == nullptr) {
        return base::fail(base::Errc::unsupported,
                          action.act == Act::add
                              ? fmt::format("Can't store persistent bitmaps to {}: Operation not "
                                            "supported",
                                            request.path)
                              : fmt::format("Dirty bitmap '{}' not found", request.bitmap));
    }
    switch (action.act) {
    case Act::add: {
        // A cluster a bit, but not less than 4 KiB.
        const u64 cluster = image.info().cluster_size;
        const u64 preset = cluster == 0 ? u64{65536} : std::max<u64>(4096, cluster);
        const bool disabled = has(request, Act::disable);
        return store->add(request.bitmap, request.granularity != 0 ? request.granularity : preset,
                          !disabled);
    }
    case Act::remove:
        return store->remove(request.bitmap);
    case Act::clear:
        return store->clear(request.bitmap);
    case Act::enable:
        return store->set_enabled(request.bitmap, true);
    case Act::disable:
        return store->set_enabled(request.bitmap, false);
    case Act::merge:
        break;
    }
    return merge(request, *store, request.source_path.empty() ? store : source, action.source);
}

} // namespace

int run_bitmap(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    // Backing files do not matter to bitmaps, and may be missing.
    const auto disk = open_named_alone(
        request.common, {.path = request.path, .format = request.format, .writable = true});
    if (!disk) {
        return kFailure;
    }
    std::unique_ptr<ChainDisk> source;
    if (!request.source_path.empty()) {
        source =
            open_named_alone({}, {.path = request.source_path, .format = request.source_format});
        if (!source) {
            return kFailure;
        }
    }
    for (const Action& action : request.actions) {
        auto done = perform(request, action, *disk,
                            source ? source->layers().front().image->bitmaps() : nullptr);
        if (!done) {
            return report(fmt::format("Operation {} on bitmap {} failed: {}",
                                      kNames[static_cast<std::size_t>(action.act)], request.bitmap,
                                      done.error().message));
        }
    }
    return kSuccess;
}

} // namespace img::cli
