// imgtool bench: many reads or writes, one after the other.
//
// They are made synchronously: on a file that is in the host's page cache a queue of requests only
// adds the cost of its threads. The depth is therefore only the number that is told.
#include "imgtool/cli/numbers.hpp"
#include "imgtool/cli/open_named.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <climits>
#include <vector>

namespace img::cli {

namespace {

enum LocalOption { kOptFlushInterval = 1000, kOptPattern, kOptNoDrain };

struct Request {
    std::string path;
    std::string format;
    std::string cache = "writeback";
    std::string aio;
    u64 count = 75000;
    u64 depth = 64;
    u64 offset = 0;      // bytes
    u64 buffer = 4096;   // bytes
    u64 step = 0;        // bytes; 0: that of the buffer
    u64 flush_every = 0; // requests; 0: never
    u8 pattern = 0;
    bool write = false;
    Common common;
};

/// A number into `field`, or the complaint that begins with `what`.
bool take_count(const char* value, u64 max, std::string_view what, u64& field)
{
    const auto parsed = parse_count(value, max);
    if (!parsed) {
        report(fmt::format("Invalid {} specified", what));
        return false;
    }
    field = *parsed;
    return true;
}

bool take_bytes(const char* value, u64 max, std::string_view what, u64& field)
{
    const auto parsed = parse_bytes(value, what, 0, max);
    field = parsed.value_or(0);
    return parsed.has_value();
}

bool take_aio(const char* value, Request& request)
{
    request.aio = value;
    if (request.aio != "threads" && request.aio != "native" && request.aio != "io_uring") {
        report(fmt::format("Invalid aio option: {}", value));
        return false;
    }
    return true;
}

bool take(int c, const char* value, Request& request)
{
    u64 pattern = 0;
    switch (c) {
    case 'c':
        return take_count(value, INT_MAX, "request count", request.count);
    case 'd':
        if (!take_count(value, INT_MAX, "queue depth", request.depth)) {
            return false;
        }
        if (request.depth == 0) { // nothing would ever be sent
            report("Invalid queue depth specified");
        }
        return request.depth != 0;
    case 'f':
        request.format = value;
        return true;
    case 'n':
        request.aio = "native";
        return true;
    case 'i':
        return take_aio(value, request);
    case 'o':
        return take_bytes(value, INT64_MAX, "offset", request.offset);
    case 's':
        return take_bytes(value, INT_MAX, "buffer size", request.buffer);
    case 'S':
        return take_bytes(value, INT_MAX, "step_size", request.step);
    case 't':
        request.cache = value;
        if (!is_cache_mode(request.cache)) {
            report("Invalid cache mode");
            return false;
        }
        return true;
    case 'w':
        request.write = true;
        return true;
    case kOptPattern:
        if (!take_count(value, 0xff, "pattern byte", pattern)) {
            return false;
        }
        request.pattern = static_cast<u8>(pattern);
        return true;
    case kOptFlushInterval:
        return take_count(value, INT_MAX, "flush interval", request.flush_every);
    case kOptNoDrain: // no request is ever in flight when a flush is sent
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong = with_common(
        std::array<option, 13>{{{"flush-interval", required_argument, nullptr, kOptFlushInterval},
                                {"pattern", required_argument, nullptr, kOptPattern},
                                {"no-drain", no_argument, nullptr, kOptNoDrain},
                                {"aio", required_argument, nullptr, 'i'},
                                {"buffer-size", required_argument, nullptr, 's'},
                                {"cache", required_argument, nullptr, 't'},
                                {"count", required_argument, nullptr, 'c'},
                                {"depth", required_argument, nullptr, 'd'},
                                {"format", required_argument, nullptr, 'f'},
                                {"native", no_argument, nullptr, 'n'},
                                {"offset", required_argument, nullptr, 'o'},
                                {"step-size", required_argument, nullptr, 'S'},
                                {"write", no_argument, nullptr, 'w'}}},
        false);
    OptionReader reader{argc, argv, "hc:d:f:ni:o:qs:S:t:wU", kLong.data()};
    if (!read_options(reader, request, take) || !take_one_operand(reader, request.path)) {
        return false;
    }
    if (!request.write && request.flush_every != 0) {
        report("--flush-interval is only available in write tests");
        return false;
    }
    if (request.flush_every != 0 && request.flush_every < request.depth) {
        report("Flush interval can't be smaller than depth");
        return false;
    }
    const bool direct =
        request.cache == "none" || request.cache == "off" || request.cache == "directsync";
    if (request.aio == "native" && !direct) {
        report(fmt::format("Could not open '{}': aio=native was specified, but it requires "
                           "cache.direct=on, which was not specified.",
                           request.path));
        return false;
    }
    request.step = request.step == 0 ? request.buffer : request.step;
    return true;
}

Status send_requests(const Request& request, ChainDisk& disk)
{
    const u64 size = disk.size();
    std::vector<u8> bytes(request.count == 0 ? 0 : request.buffer, request.pattern);
    u64 offset = request.offset;
    for (u64 i = 1; i <= request.count; ++i) {
        auto done = request.write ? disk.write(offset, bytes) : disk.read(offset, bytes);
        if (!done) {
            return done;
        }
        if (request.flush_every != 0 && i % request.flush_every == 0) {
            if (auto flushed = disk.flush(); !flushed) {
                return flushed;
            }
        }
        offset += request.step;
        offset = size == 0 ? 0 : offset % size;
    }
    return base::ok();
}

} // namespace

int run_bench(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    auto disk = open_named(request.common, {.path = request.path,
                                            .format = request.format,
                                            .writable = request.write,
                                            .cache = request.cache});
    if (disk == nullptr) {
        return kFailure;
    }
    fmt::print("Sending {} {} requests, {} bytes each, {} in parallel (starting at offset {}, step "
               "size {})\n",
               request.count, request.write ? "write" : "read", request.buffer, request.depth,
               request.offset, request.step);
    if (request.flush_every != 0) {
        fmt::print("Sending flush every {} requests\n", request.flush_every);
    }
    const auto start = std::chrono::steady_clock::now();
    if (auto done = send_requests(request, *disk); !done) {
        return report(
            fmt::format("Failed request: {}", done.error().code == base::Errc::invalid_argument
                                                  ? "Input/output error"
                                                  : done.error().message));
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    fmt::print("Run completed in {:.3f} seconds.\n", time.count());
    return kSuccess;
}

} // namespace img::cli
