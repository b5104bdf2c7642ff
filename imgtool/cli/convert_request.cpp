#include "imgtool/cli/convert_request.hpp"

#include "imgtool/cli/numbers.hpp"
#include "imgtool/cli/open_named.hpp"

#include <fmt/format.h>

#include <array>

namespace img::cli {

namespace {

constexpr u64 kMaxSparse = u64{16} << 20; // bytes, as qemu-img's
constexpr u64 kMaxWorkers = 16;

enum LocalOption { kOptSkipBroken = 1000, kOptReproducible };

/// Some have two names: one of qemu-img's help, one that it takes.
constexpr auto kLong = with_common(
    std::array<option, 26>{{{"target-image-opts", no_argument, nullptr, kOptTargetImageOpts},
                            {"target-is-zero", no_argument, nullptr, kOptTargetIsZero},
                            {"bitmaps", no_argument, nullptr, kOptBitmaps},
                            {"skip-broken-bitmaps", no_argument, nullptr, kOptSkipBroken},
                            {"salvage", no_argument, nullptr, kOptSalvage},
                            {"reproducible", no_argument, nullptr, kOptReproducible},
                            {"rate-limit", required_argument, nullptr, 'r'},
                            {"backing", required_argument, nullptr, 'B'},
                            {"backing-format", required_argument, nullptr, 'F'},
                            {"compress", no_argument, nullptr, 'c'},
                            {"copy-range-offloading", no_argument, nullptr, 'C'},
                            {"no-create", no_argument, nullptr, 'n'},
                            {"oob-writes", no_argument, nullptr, 'W'},
                            {"options", required_argument, nullptr, 'o'},
                            {"output-format", required_argument, nullptr, 'O'},
                            {"parallel", required_argument, nullptr, 'm'},
                            {"rate", required_argument, nullptr, 'r'},
                            {"snapshot", required_argument, nullptr, 'l'},
                            {"source-cache", required_argument, nullptr, 'T'},
                            {"source-format", required_argument, nullptr, 'f'},
                            {"source-image-opts", no_argument, nullptr, kOptImageOpts},
                            {"source-snapshot", required_argument, nullptr, 'l'},
                            {"sparse-size", required_argument, nullptr, 'S'},
                            {"target-cache", required_argument, nullptr, 't'},
                            {"target-format", required_argument, nullptr, 'O'},
                            {"target-options", required_argument, nullptr, 'o'}}},
    false);

struct Flag {
    int option;
    bool ConvertRequest::*field;
};
constexpr std::array kFlags{Flag{'c', &ConvertRequest::compress},
                            Flag{'n', &ConvertRequest::skip_create},
                            Flag{'C', &ConvertRequest::copy_range},
                            Flag{kOptTargetImageOpts, &ConvertRequest::target_image_opts},
                            Flag{kOptTargetIsZero, &ConvertRequest::target_is_zero},
                            Flag{kOptBitmaps, &ConvertRequest::bitmaps},
                            Flag{kOptSkipBroken, &ConvertRequest::skip_broken_bitmaps},
                            Flag{kOptSalvage, &ConvertRequest::salvage},
                            Flag{kOptReproducible, &ConvertRequest::reproducible}};

struct Text {
    int option;
    std::string ConvertRequest::*field;
};
constexpr std::array kTexts{
    Text{'f', &ConvertRequest::source_format}, Text{'B', &ConvertRequest::backing},
    Text{'F', &ConvertRequest::backing_format}, Text{'t', &ConvertRequest::cache},
    Text{'T', &ConvertRequest::source_cache}};

bool take_sparse(const char* value, ConvertRequest& request)
{
    request.sparse_size = parse_bytes(value, "buffer size for sparse output");
    if (!request.sparse_size) {
        return false;
    }
    if (*request.sparse_size % 512 != 0 || *request.sparse_size > kMaxSparse) {
        report(fmt::format("Invalid buffer size for sparse output specified. Valid sizes are "
                           "multiples of 512 up to {}. Select 0 to disable sparse detection (fully "
                           "allocates output).",
                           kMaxSparse));
        return false;
    }
    return true;
}

bool take_workers(const char* value, ConvertRequest& request)
{
    const auto workers = parse_count(value, kMaxWorkers);
    if (!workers || *workers == 0) {
        report(fmt::format("Invalid number of coroutines. Allowed number of coroutines is between "
                           "1 and {}",
                           kMaxWorkers));
        return false;
    }
    request.threads = static_cast<unsigned>(*workers);
    return true;
}

bool take(int c, const char* value, ConvertRequest& request)
{
    for (const Flag& flag : kFlags) {
        if (flag.option == c) {
            request.*flag.field = true;
            return true;
        }
    }
    for (const Text& text : kTexts) {
        if (text.option == c) {
            request.*text.field = value;
            return true;
        }
    }
    std::optional<u64> rate;
    switch (c) {
    case 'O':
        request.target_format = value;
        return true;
    case 'o':
        request.has_settings = true;
        return take_settings(value, request.settings, request.help);
    case 'l':
        return take_snapshot(value, request.snapshot);
    case 'S':
        return take_sparse(value, request);
    case 'm':
        return take_workers(value, request);
    case 'r':
        rate = parse_bytes(value, "rate limit");
        request.rate = rate.value_or(0);
        return rate.has_value();
    case 'W': // a hint: the order of writes is free
        return true;
    default:
        return false;
    }
}

/// Options that exclude or need each other.
bool check_combinations(const ConvertRequest& r)
{
    struct Rule {
        bool broken;
        const char* message;
    };
    const std::array rules{
        Rule{r.skip_broken_bitmaps && !r.bitmaps,
             "Use of --skip-broken-bitmaps requires --bitmaps"},
        Rule{r.compress && r.copy_range, "Cannot enable copy offloading when -c is used"},
        Rule{r.sparse_size && r.copy_range, "Cannot enable copy offloading when -S is used"},
        Rule{r.salvage && r.copy_range, "Cannot use copy offloading in salvaging mode"},
        Rule{r.target_image_opts && !r.skip_create, "--target-image-opts requires use of -n flag"},
        Rule{r.skip_create && r.has_settings, "-o has no effect when skipping image creation"},
        Rule{r.target_is_zero && !r.skip_create, "--target-is-zero requires use of -n flag"},
    };
    for (const Rule& rule : rules) {
        if (rule.broken) {
            report(rule.message);
            return false;
        }
    }
    return true;
}

} // namespace

const std::string& ConvertRequest::format_name() const
{
    static const std::string raw = "raw";
    return target_format ? *target_format : raw;
}

bool parse_convert(int argc, char** argv, ConvertRequest& request)
{
    OptionReader reader{argc, argv, "hf:O:B:CcF:o:l:S:pt:T:qnm:WUr:", kLong.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        const Taken taken = take_common(c, reader.value(), request.common);
        if (taken == Taken::bad || (taken == Taken::no && !take(c, reader.value(), request))) {
            return false;
        }
    }
    const auto operands = reader.operands();
    if (!check_combinations(request)) {
        return false;
    }
    if (!operands.empty()) {
        request.target = operands.size() > 1 ? operands.back() : "";
        request.sources.assign(operands.begin(), operands.end() - 1);
    }
    if (request.help) {
        return true;
    }
    if (request.sources.empty()) {
        report("Must specify image file name");
        return false;
    }
    return good_cache(request.source_cache, true) && good_cache(request.cache, false);
}

} // namespace img::cli
