// imgtool rebase
#include "imgtool/ops/rebase.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    std::optional<std::string> backing; // empty: none any more
    std::string backing_format;
    std::string cache = "writeback";
    std::string source_cache = "writeback";
    bool unsafe = false;   // -u: only the name is changed
    bool compress = false; // -c: what is copied
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 'F':
        request.backing_format = value;
        return true;
    case 'b':
        request.backing = value;
        return true;
    case 'u':
        request.unsafe = true;
        return true;
    case 'c':
        request.compress = true;
        return true;
    case 't':
        request.cache = value;
        return true;
    case 'T':
        request.source_cache = value;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 7>{{{"backing", required_argument, nullptr, 'b'},
                                           {"backing-cache", required_argument, nullptr, 'T'},
                                           {"backing-format", required_argument, nullptr, 'F'},
                                           {"backing-unsafe", no_argument, nullptr, 'u'},
                                           {"cache", required_argument, nullptr, 't'},
                                           {"compress", no_argument, nullptr, 'c'},
                                           {"format", required_argument, nullptr, 'f'}}},
                    false);
    OptionReader reader{argc, argv, "hcf:F:b:upt:T:qU", kLong.data()};
    if (!read_options(reader, request, take) || !take_one_operand(reader, request.path)) {
        return false;
    }
    if (!request.unsafe && !request.backing) {
        misuse("Must specify backing file (-b) or use unsafe mode (-u)");
        return false;
    }
    return good_cache(request.cache, false) && good_cache(request.source_cache, true);
}

/// The new backing file as a disk, and its place in the old chain if it is there.
struct NewBacking {
    std::unique_ptr<ChainDisk> disk;
    std::optional<std::size_t> kept_depth;
};

Result<NewBacking> open_new_backing(const Request& request, ChainDisk& disk)
{
    NewBacking found;
    if (request.backing->empty()) {
        return found;
    }
    const auto path = node::join_name(disk.layers().front().origin, *request.backing);
    if (!path) {
        return base::fail(base::Errc::unsupported, "Could not resolve backing filename");
    }
    auto named = named_options(request.common, *path, request.backing_format);
    if (!named) {
        return std::move(named).error();
    }
    OpenOptions options = std::move(named).value();
    for (std::size_t depth = 1; depth < disk.layers().size(); ++depth) {
        if (same_file(disk.layers()[depth].path, *path)) {
            found.kept_depth = depth;
            options.format = disk.layers()[depth].format;
            break;
        }
    }
    auto opened = open_chain(options);
    if (!opened) {
        return std::move(opened).error().in(
            fmt::format("Could not open new backing file '{}'", *request.backing));
    }
    found.disk = std::move(opened).value();
    return found;
}

/// Why the image cannot refer to its new backing file.
int report_unchanged(const std::string& name, const base::Error& error)
{
    const std::string why =
        error.code == base::Errc::unsupported ? "Operation not supported" : error.message;
    return report(fmt::format("Could not change the backing file to '{}': {}", name, why));
}

int copy_differences(const Request& request, ChainDisk& disk, Progress& progress)
{
    auto backing = open_new_backing(request, disk);
    if (!backing) {
        return report(backing.error().message);
    }
    const RebaseOptions options{
        .kept_depth = backing.value().kept_depth,
        .compress = request.compress,
        .progress = [&](u64 done, u64 total) { return progress.step(done, total); }};
    if (auto done = copy_for_rebase(disk, backing.value().disk.get(), options); !done) {
        return interrupted() ? kFailure : report(done.error().message);
    }
    return kSuccess;
}

int rebase(const Request& request)
{
    const Named named{
        .path = request.path, .format = request.format, .writable = true, .cache = request.cache};
    auto disk = request.unsafe ? open_named_alone(request.common, named)
                               : open_named(request.common, named);
    if (disk == nullptr) {
        return kFailure;
    }
    if (!request.backing_format.empty() && find_format(request.backing_format) == nullptr &&
        node::find_protocol(request.backing_format) == nullptr) {
        return report(fmt::format("Invalid format name: '{}'", request.backing_format));
    }
    const std::string name = request.backing.value_or("");
    const bool nameless_format = !name.empty() && request.backing_format.empty();
    Progress progress{request.common.progress && !request.common.quiet};
    Image& top = *disk->layers().front().image;
    if (request.compress && !top.packing()) {
        return report("Compression not supported for this file format");
    }
    if (!request.unsafe) {
        if (const int code = copy_differences(request, *disk, progress); code != kSuccess) {
            return code;
        }
    }
    if (nameless_format) {
        return report_unchanged(name,
                                {base::Errc::invalid_argument, "backing format must be specified"});
    }
    // What was copied is on the disk before the old backing file is let go.
    if (auto changed = top.set_backing(name, request.backing_format); !changed) {
        return report_unchanged(name, changed.error());
    }
    if (auto flushed = top.flush(); !flushed) {
        return report_unchanged(name, flushed.error());
    }
    progress.show(100);
    return kSuccess;
}

} // namespace

int run_rebase(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    catch_interrupts();
    return finish(rebase(request));
}

} // namespace img::cli
