// imgtool convert
#include "imgtool/ops/convert.hpp"
#include "imgtool/cli/command.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/open.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstring>
#include <optional>
#include <sys/stat.h>

namespace img::cli {

namespace {

constexpr u64 kMaxSparse = u64{16} << 20; // bytes, as qemu-img's
constexpr u64 kMaxWorkers = 16;

// The one thing a signal handler can reach.
volatile std::sig_atomic_t interrupted = 0;

void on_interrupt(int signal)
{
    interrupted = signal;
}

struct Request {
    std::vector<std::string> sources;
    std::string target;
    std::string source_format;
    std::string target_format = "raw";
    CreateSettings settings;
    std::string backing;
    std::string backing_format;
    std::string cache = "unsafe";
    u64 sparse_size = 4096;
    bool help = false;
    bool compress = false;
    bool skip_create = false;
    bool target_is_zero = false;
    bool progress = false;
    bool share = false;
};

bool parse_limited(const char* text, u64 min, u64 max, u64 multiple, u64& into)
{
    auto parsed = parse_size(text);
    if (!parsed || parsed.value() < min || parsed.value() > max || parsed.value() % multiple != 0) {
        return false;
    }
    into = parsed.value();
    return true;
}

constexpr std::array<option, 12> kLongOptions{
    {{"help", no_argument, nullptr, 'h'},
     {"object", required_argument, nullptr, kOptObject},
     {"source-image-opts", no_argument, nullptr, kOptImageOpts},
     {"image-opts", no_argument, nullptr, kOptImageOpts},
     {"target-image-opts", no_argument, nullptr, kOptTargetImageOpts},
     {"force-share", no_argument, nullptr, 'U'},
     {"target-is-zero", no_argument, nullptr, kOptTargetIsZero},
     {"bitmaps", no_argument, nullptr, kOptBitmaps},
     {"salvage", no_argument, nullptr, kOptSalvage},
     {"rate-limit", required_argument, nullptr, 'r'},
     {"quiet", no_argument, nullptr, 'q'},
     {}}};

struct Refused {
    int option;
    const char* name;
};
constexpr std::array kRefused{Refused{'l', "-l"},
                              Refused{'r', "-r"},
                              Refused{kOptObject, "--object"},
                              Refused{kOptImageOpts, "--image-opts"},
                              Refused{kOptTargetImageOpts, "--target-image-opts"},
                              Refused{kOptBitmaps, "--bitmaps"},
                              Refused{kOptSalvage, "--salvage"}};

struct Flag {
    int option;
    bool Request::*field;
};
constexpr std::array kFlags{Flag{'c', &Request::compress}, Flag{'n', &Request::skip_create},
                            Flag{'p', &Request::progress}, Flag{'U', &Request::share},
                            Flag{kOptTargetIsZero, &Request::target_is_zero}};

/// Takes one option with its value; false when it was reported as wrong.
bool take(int c, const char* value, Request& request)
{
    u64 workers = 0;
    switch (c) {
    case 'h':
        print_help();
        std::exit(kSuccess);
    case 'f':
        request.source_format = value;
        return true;
    case 'O':
        request.target_format = value;
        return true;
    case 'B':
    case 'b':
        request.backing = value;
        return true;
    case 'F':
        request.backing_format = value;
        return true;
    case 'o':
        parse_settings(value, request.settings, request.help);
        return true;
    case 'S':
        if (!parse_limited(value, 0, kMaxSparse, 512, request.sparse_size)) {
            report(fmt::format("Invalid buffer size for sparse output specified. Valid sizes are "
                               "multiples of 512 up to {}. Select 0 to disable sparse detection "
                               "(fully allocates output).",
                               kMaxSparse));
            return false;
        }
        return true;
    case 'm':
        if (!parse_limited(value, 1, kMaxWorkers, 1, workers)) {
            report("Invalid number of coroutines. Allowed number of coroutines is between 1 and "
                   "16");
            return false;
        }
        return true; // we use as many threads as serve
    case 't':
    case 'T':
        if (!is_cache_mode(value)) {
            report(fmt::format("Invalid {}cache option: {}", c == 'T' ? "source " : "", value));
            return false;
        }
        request.cache = c == 't' ? value : request.cache;
        return true;
    case 'q': // takes back -p, as there is nothing else to be quiet about
        request.progress = false;
        return true;
    case 'C': // a hint: the host may copy
    case 'W': // a hint: the order of writes is free
        return true;
    default:
        break;
    }
    for (const Flag& flag : kFlags) {
        if (flag.option == c) {
            request.*flag.field = true;
            return true;
        }
    }
    for (const Refused& refused : kRefused) {
        if (refused.option == c) {
            refuse(refused.name);
        }
    }
    return false;
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:O:B:b:CcF:o:l:S:pt:T:qnm:WUr:", kLongOptions.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        if (!take(c, reader.value(), request)) {
            return false;
        }
    }
    const auto operands = reader.operands();
    if (request.help) {
        return true;
    }
    if (request.target_is_zero && !request.skip_create) {
        report("--target-is-zero requires use of -n flag");
        return false;
    }
    if (request.skip_create && !request.settings.empty()) {
        report("warning: -o has no effect when skipping image creation");
    }
    if (operands.size() < 2) {
        report("Must specify image file name");
        return false;
    }
    request.sources.assign(operands.begin(), operands.end() - 1);
    request.target = operands.back();
    return true;
}

bool is_block_device(const std::string& path)
{
    struct stat st = {};
    return ::stat(path.c_str(), &st) == 0 && S_ISBLK(st.st_mode);
}

class Conversion {
public:
    explicit Conversion(Request request) : request_{std::move(request)} {}

    int run();

private:
    int run_steps();
    Status open_sources();
    Status make_target();
    Status check_format();
    Status open_target();
    Status copy();
    bool show_progress(u64 done, u64 total);

    Request request_;
    std::vector<std::unique_ptr<ChainDisk>> sources_;
    std::unique_ptr<ChainDisk> target_;
    const FormatDriver* format_ = nullptr;
    u64 total_ = 0; // bytes
    double shown_ = 0;
};

Status Conversion::open_sources()
{
    for (const std::string& path : request_.sources) {
        auto source = open_chain({.path = path,
                                  .format = request_.source_format,
                                  .backing = {.trust_probed = true},
                                  .share = request_.share});
        if (!source) {
            return std::move(source).error().in(fmt::format("Could not open '{}'", path));
        }
        total_ += source.value()->size();
        sources_.push_back(std::move(source).value());
    }
    return base::ok();
}

Status Conversion::check_format()
{
    using base::Errc;
    using base::fail;
    format_ = find_format(request_.target_format);
    if (format_ == nullptr) {
        return fail(Errc::unsupported,
                    fmt::format("Unknown file format '{}'", request_.target_format));
    }
    for (const auto& [name, value] : request_.settings) {
        if (name == "backing_file") {
            request_.backing = value;
        } else if (name == "backing_fmt") {
            request_.backing_format = value;
        }
    }
    if (!request_.backing.empty() && !format_->has_backing) {
        return fail(
            Errc::invalid_argument,
            fmt::format("Backing file not supported for file format '{}'", request_.target_format));
    }
    if (!request_.backing.empty() && request_.backing_format.empty() && !request_.skip_create) {
        return fail(Errc::invalid_argument, "Use of backing file requires explicit backing format");
    }
    if (!request_.backing_format.empty() && find_format(request_.backing_format) == nullptr) {
        return fail(Errc::unsupported, fmt::format("Unknown driver '{}'", request_.backing_format));
    }
    if (request_.compress && format_->no_compression) {
        return fail(Errc::invalid_argument, "Compression not supported for this file format");
    }
    return base::ok();
}

Status Conversion::make_target()
{
    CreateSettings settings;
    settings.emplace_back("size", std::to_string(total_));
    for (const auto& setting : request_.settings) {
        settings.push_back(setting); // "size" among them counts more
    }
    if (!request_.backing.empty()) {
        settings.emplace_back("backing_file", request_.backing);
        settings.emplace_back("backing_fmt", request_.backing_format);
    }
    auto completed = complete_settings(*format_, settings);
    if (!completed) {
        return std::move(completed).error();
    }
    if (auto made = create_image(*format_, request_.target, completed.value()); !made) {
        return std::move(made).error().in(
            fmt::format("{}: error while converting {}", request_.target, request_.target_format));
    }
    return base::ok();
}

Status Conversion::open_target()
{
    auto target = open_chain({.path = request_.target,
                              .format = request_.target_format,
                              .read_only = false,
                              .backing = {.trust_probed = true},
                              .unsafe = request_.cache == "unsafe"});
    if (!target) {
        return std::move(target).error().in(fmt::format("Could not open '{}'", request_.target));
    }
    target_ = std::move(target).value();
    if (target_->size() < total_) {
        return base::fail(base::Errc::invalid_argument, "output file is smaller than input file");
    }
    if (request_.compress && target_->layers().front().image->info().cluster_size == 0) {
        return base::fail(base::Errc::invalid_argument, "invalid cluster size");
    }
    return base::ok();
}

bool Conversion::show_progress(u64 done, u64 total)
{
    const double percent =
        total == 0 ? 100.0 : static_cast<double>(done) * 100.0 / static_cast<double>(total);
    if (request_.progress && (percent >= shown_ + 1 || percent >= 100)) {
        std::printf("    (%3.2f/100%%)\r", percent);
        std::fflush(stdout);
        shown_ = percent;
    }
    return interrupted == 0;
}

Status Conversion::copy()
{
    const bool fresh = !request_.skip_create && !is_block_device(request_.target);
    const ConvertOptions options{
        .sparse_size = request_.sparse_size,
        .compress = request_.compress,
        .target_is_zero = request_.target_is_zero || (fresh && request_.backing.empty()),
        .target_has_backing = !request_.backing.empty(),
        .progress = [this](u64 done, u64 total) { return show_progress(done, total); }};
    if (auto done = convert(sources_, *target_, options); !done) {
        return done;
    }
    if (auto done = target_->flush(); !done) {
        return done;
    }
    (void)show_progress(1, 1);
    return base::ok();
}

int Conversion::run()
{
    if (request_.progress) {
        std::printf("    (0.00/100%%)\r");
        std::fflush(stdout);
    }
    const int code = run_steps();
    if (request_.progress) {
        std::printf("\n");
    }
    return code;
}

int Conversion::run_steps()
{
    for (const auto step : {&Conversion::open_sources, &Conversion::check_format}) {
        if (auto done = (this->*step)(); !done) {
            return report(done.error().message);
        }
    }
    if (!request_.skip_create) {
        if (auto done = make_target(); !done) {
            return report(done.error().message);
        }
    }
    for (const auto step : {&Conversion::open_target, &Conversion::copy}) {
        if (auto done = (this->*step)(); !done) {
            if (interrupted != 0) {
                break; // what was written is made a whole image when target_ is closed
            }
            return report(done.error().message);
        }
    }
    return kSuccess;
}

} // namespace

int run_convert(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    if (request.help) {
        const FormatDriver* format = find_format(request.target_format);
        if (format == nullptr) {
            return report(fmt::format("Unknown file format '{}'", request.target_format));
        }
        print_create_options(*format, true);
        return kSuccess;
    }
    struct sigaction action = {};
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    const int code = Conversion{std::move(request)}.run();
    if (interrupted != 0) {
        std::signal(interrupted, SIG_DFL);
        std::raise(interrupted);
    }
    return code;
}

} // namespace img::cli
