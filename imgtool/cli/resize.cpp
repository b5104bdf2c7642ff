// imgtool resize
#include "imgtool/cli/open_named.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <optional>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    char sign = '=';
    u64 amount = 0; // bytes
    Preallocate how = Preallocate::none;
    bool shrink = false;
    Common common;
};

struct Mode {
    std::string_view name;
    Preallocate how;
};
constexpr std::array kModes{Mode{"off", Preallocate::none}, Mode{"metadata", Preallocate::metadata},
                            Mode{"falloc", Preallocate::reserve}, Mode{"full", Preallocate::write}};

bool parse_mode(std::string_view name, Preallocate& how)
{
    for (const Mode& mode : kModes) {
        if (mode.name == name) {
            how = mode.how;
            return true;
        }
    }
    report(fmt::format("Invalid preallocation mode '{}'", name));
    return false;
}

bool parse_amount(const char* text, Request& request)
{
    if (*text == '+' || *text == '-') {
        request.sign = *text++;
    }
    auto parsed = parse_size(text);
    if (parsed) {
        request.amount = parsed.value();
        return true;
    }
    if (parsed.error().code == base::Errc::unsupported) {
        report("New image size must be positive"); // as a number with a sign sees it
        return false;
    }
    report("Parameter 'size' expects a non-negative number below 2^64\n"
           "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
           "and exabytes, respectively.");
    return false;
}

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case kOptShrink:
        request.shrink = true;
        return true;
    case kOptPreallocation:
        return parse_mode(value, request.how);
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    const std::string_view last = argv[argc - 1];
    const bool help = last == "-h" || last == "--help";
    if (argc < 3 && !help) {
        misuse("Not enough arguments");
        return false;
    }
    static constexpr auto kLong = with_common(
        std::array<option, 3>{{{"format", required_argument, nullptr, 'f'},
                               {"preallocation", required_argument, nullptr, kOptPreallocation},
                               {"shrink", no_argument, nullptr, kOptShrink}}});
    // The size comes last, and may begin with "-".
    const char* amount = help ? "" : argv[--argc];
    OptionReader reader{argc, argv, "f:hq", kLong.data()};
    if (!read_options(reader, request, take)) {
        return false;
    }
    if (reader.operands().size() != 1) {
        misuse("Expecting image file name and size");
        return false;
    }
    request.path = reader.operands()[0];
    return parse_amount(amount, request);
}

/// The size asked for; nothing when it would not be one.
std::optional<u64> new_size(const Request& request, u64 current)
{
    constexpr u64 kMax = static_cast<u64>(INT64_MAX);
    u64 size = request.amount;
    if (request.sign == '+') {
        size = request.amount > kMax - current ? 0 : current + request.amount;
    } else if (request.sign == '-') {
        size = request.amount > current ? 0 : current - request.amount;
    }
    return size == 0 ? std::nullopt : std::optional{size};
}

int resize(const Request& request, ChainDisk& disk)
{
    const u64 current = disk.size();
    const auto size = new_size(request, current);
    if (!size) {
        return report("New image size must be positive");
    }
    if (*size <= current && request.how != Preallocate::none) {
        return report("Preallocation can only be used for growing images");
    }
    if (*size < current && !request.shrink) {
        report("Use the --shrink option to perform a shrink operation.");
        return report("warning: Shrinking an image will delete all data beyond the shrunken "
                      "image's end. Before performing such an operation, make sure there is no "
                      "important data there.");
    }
    if (auto done = disk.resize(*size, request.how); !done) {
        return report(done.error().message);
    }
    if (auto done = disk.flush(); !done) {
        return report(done.error().message);
    }
    if (!request.common.quiet) {
        std::puts("Image resized.");
    }
    return kSuccess;
}

} // namespace

int run_resize(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    const auto disk = open_named(
        request.common, {.path = request.path, .format = request.format, .writable = true});
    return disk ? resize(request, *disk) : kFailure;
}

} // namespace img::cli
