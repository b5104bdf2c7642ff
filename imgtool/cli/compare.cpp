// imgtool compare
#include "imgtool/ops/compare.hpp"
#include "base/output.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"

#include <fmt/format.h>

#include <array>

namespace img::cli {

namespace {

// What went wrong shows in the exit code; 1 is "they differ".
constexpr int kDiffer = 1;
constexpr int kOpenFailed = 2;
constexpr int kMapFailed = 3;
constexpr int kReadFailed = 4;

struct Request {
    std::array<std::string, 2> paths;
    std::array<std::string, 2> formats;
    std::string cache = "writeback";
    bool strict = false;
    Common common;
};

/// Takes one option; the exit code when it was wrong, which was reported.
int take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.formats[0] = value;
        return kSuccess;
    case 'F':
        request.formats[1] = value;
        return kSuccess;
    case 'T':
        request.cache = value;
        return kSuccess;
    case 's':
        request.strict = true;
        return kSuccess;
    default:
        break;
    }
    switch (take_common(c, value, request.common)) {
    case Taken::yes:
        return kSuccess;
    case Taken::bad:
        return kOpenFailed;
    case Taken::no:
        break;
    }
    return kFailure;
}

int parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 4>{{{"a-format", required_argument, nullptr, 'f'},
                                           {"b-format", required_argument, nullptr, 'F'},
                                           {"cache", required_argument, nullptr, 'T'},
                                           {"strict", no_argument, nullptr, 's'}}},
                    false);
    OptionReader reader{argc, argv, "hf:F:T:pqsU", kLong.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        if (const int code = take(c, reader.value(), request); code != kSuccess) {
            return code;
        }
    }
    const auto operands = reader.operands();
    if (operands.size() != 2) {
        return misuse("Expecting two image file names");
    }
    request.paths = {operands[0], operands[1]};
    return good_cache(request.cache, true) ? kSuccess : kOpenFailed;
}

int tell(const Comparison& found, const Request& request)
{
    using Outcome = Comparison::Outcome;
    const bool loud = !request.common.quiet;
    const std::string& path = request.paths[found.side];
    // Scripts know it behind the message of what went wrong.
    const auto warn = [&] {
        if (found.overhang && loud) {
            base::note("Warning: Image size mismatch!\n");
        }
    };
    if (found.outcome != Outcome::map_failed && found.outcome != Outcome::read_failed) {
        warn();
    }
    switch (found.outcome) {
    case Outcome::identical:
        if (loud) {
            base::note("Images are identical.\n");
        }
        return kSuccess;
    case Outcome::sizes_differ:
        if (loud) {
            base::note("Strict mode: Image size mismatch!\n");
        }
        return kDiffer;
    case Outcome::status_differs:
        if (loud) {
            base::note(
                fmt::format("Strict mode: Offset {} block status mismatch!\n", found.offset));
        }
        return kDiffer;
    case Outcome::content_differs:
        if (loud) {
            base::note(fmt::format("Content mismatch at offset {}!\n", found.offset));
        }
        return kDiffer;
    case Outcome::map_failed:
        report(fmt::format("Sector allocation test failed for {}", path));
        warn();
        return kMapFailed;
    case Outcome::read_failed:
        report(fmt::format("Error while reading offset {} of {}: {}", found.offset, path,
                           found.message));
        warn();
        return kReadFailed;
    case Outcome::stopped:
        break;
    }
    return kFailure;
}

} // namespace

int run_compare(int argc, char** argv)
{
    Request request;
    if (const int code = parse(argc, argv, request); code != kSuccess) {
        return code;
    }
    std::array<std::unique_ptr<ChainDisk>, 2> disks;
    for (std::size_t i = 0; i < 2; ++i) {
        disks[i] =
            open_named(request.common, {.path = request.paths[i], .format = request.formats[i]});
        if (disks[i] == nullptr) {
            return kOpenFailed;
        }
    }
    Progress progress{request.common.progress && !request.common.quiet, 2};
    const CompareOptions options{.strict = request.strict, .progress = [&](u64 done, u64 total) {
                                     return progress.step(done, total);
                                 }};
    return tell(compare(*disks[0], *disks[1], options), request);
}

} // namespace img::cli
