// imgtool commit
#include "imgtool/ops/commit.hpp"
#include "imgtool/cli/errors.hpp"
#include "imgtool/cli/numbers.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/ops/rate_limit.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    std::string base;
    std::string cache = "writeback";
    bool keep = false; // -d: the image keeps what it has
    u64 rate = 0;      // bytes per second; 0: any
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    std::optional<u64> rate;
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 't':
        request.cache = value;
        return true;
    case 'b': // what is between would not be what the emptied image was made over
        request.base = value;
        request.keep = true;
        return true;
    case 'd':
        request.keep = true;
        return true;
    case 'r':
        rate = parse_bytes(value, "rate limit");
        request.rate = rate.value_or(0);
        return rate.has_value();
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 5>{{{"base", required_argument, nullptr, 'b'},
                                           {"cache", required_argument, nullptr, 't'},
                                           {"drop", no_argument, nullptr, 'd'},
                                           {"format", required_argument, nullptr, 'f'},
                                           {"rate", required_argument, nullptr, 'r'}}},
                    false);
    OptionReader reader{argc, argv, "f:ht:b:dpqr:", kLong.data()};
    if (!read_options(reader, request, take) || !take_one_operand(reader, request.path)) {
        return false;
    }
    return good_cache(request.cache, false);
}

/// Which layer the user means with `name`: as its overlay calls it, or where it is; relative names
/// are taken from the overlay's folder.
std::optional<std::size_t> find_base(ChainDisk& disk, const std::string& name)
{
    const auto& layers = disk.layers();
    for (std::size_t depth = 1; depth < layers.size(); ++depth) {
        const Layer& overlay = layers[depth - 1];
        const auto resolved = node::join_name(overlay.origin, name);
        if (overlay.image->info().backing_name == name ||
            (resolved && same_file(layers[depth].path, resolved.value()))) {
            return depth;
        }
    }
    return std::nullopt;
}

/// Takes the layers from `depth` on out of the chain (which gives back their locks) and opens them
/// again as a disk to be written.
Result<std::unique_ptr<ChainDisk>> split_off(ChainDisk& disk, std::size_t depth,
                                             const Request& request)
{
    auto& layers = disk.layers();
    auto named = named_options(request.common, layers[depth].path,
                               layers[depth].probed ? "" : layers[depth].format);
    if (!named) {
        return std::move(named).error();
    }
    OpenOptions options = std::move(named).value();
    options.read_only = false;
    options.unsafe = request.cache == "unsafe";
    if (auto used = node::use_layer(options, layers[depth]); !used) {
        return std::move(used).error();
    }
    layers.erase(layers.begin() + static_cast<std::ptrdiff_t>(depth), layers.end());
    return open_chain(options);
}

Status empty(ChainDisk& overlays)
{
    Image& top = *overlays.layers().front().image;
    auto emptied = top.make_empty();
    if (!emptied) {
        return std::move(emptied).error();
    }
    return top.flush(); // formats that cannot be emptied keep what they have
}

int commit_image(const Request& request)
{
    auto disk = open_named(
        request.common,
        {.path = request.path, .format = request.format, .writable = true, .cache = request.cache});
    if (disk == nullptr) {
        return kFailure;
    }
    std::optional<std::size_t> depth = 1;
    if (!request.base.empty()) {
        depth = find_base(*disk, request.base);
        if (!depth) {
            return report(fmt::format("Did not find '{}' in the backing chain of '{}'",
                                      request.base, request.path));
        }
    } else if (disk->layers().size() < 2) {
        return report("Image does not have a backing file");
    }
    auto base = split_off(*disk, *depth, request);
    if (!base) {
        return report(base.error().message);
    }
    {
        Progress progress{request.common.progress && !request.common.quiet};
        RateLimit limit{request.rate};
        const CommitOptions options{.progress = [&](u64 done, u64 total, u64 copied) {
            limit.spend(copied, interrupted);
            return progress.step(done, total);
        }};
        auto done = commit(*disk, *base.value(), options);
        if (!done) {
            return interrupted() ? kFailure
                                 : report("Block job failed: " + system_part(done.error()));
        }
        if (!request.keep) { // only now, that the base has it all on stable storage
            if (auto emptied = empty(*disk); !emptied) {
                return report(fmt::format("Failed to empty {}: {}", request.path,
                                          system_part(emptied.error())));
            }
        }
        progress.show(100);
    }
    if (!request.common.quiet) {
        fmt::print("Image committed.\n");
    }
    return kSuccess;
}

} // namespace

int run_commit(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    catch_interrupts();
    return finish(commit_image(request));
}

} // namespace img::cli
