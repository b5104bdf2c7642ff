// imgtool hash
#include "base/output.hpp"
#include "imgtool/cli/numbers.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/ops/tree_hash.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

namespace img::cli {

namespace {

enum LocalOption { kOptAlgorithm = 1000, kOptBlockSize, kOptTree, kOptFlat, kOptJson };

constexpr auto kLong =
    with_common(std::array<option, 6>{{{"format", required_argument, nullptr, 'f'},
                                       {"algorithm", required_argument, nullptr, kOptAlgorithm},
                                       {"block-size", required_argument, nullptr, kOptBlockSize},
                                       {"tree", no_argument, nullptr, kOptTree},
                                       {"flat", no_argument, nullptr, kOptFlat},
                                       {"json", no_argument, nullptr, kOptJson}}});

struct Request {
    std::vector<std::string> paths;
    std::string format;
    crypto::Hash algorithm = crypto::Hash::sha256;
    u64 block_size = kTreeBlock; // bytes
    bool has_block_size = false;
    bool tree = false;
    bool flat = false;
    Common common;
};

bool take_algorithm(const char* value, Request& request)
{
    const auto found = crypto::find_hash(value);
    if (!found) {
        report(fmt::format("Unknown algorithm '{}'", value));
        return false;
    }
    request.algorithm = *found;
    return true;
}

bool take_block_size(const char* value, Request& request)
{
    const auto size = parse_bytes(value, "block size", kMinTreeBlock, kMaxTreeBlock);
    if (!size) {
        return false;
    }
    request.block_size = *size;
    request.has_block_size = true;
    return true;
}

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case kOptAlgorithm:
        return take_algorithm(value, request);
    case kOptBlockSize:
        return take_block_size(value, request);
    case kOptTree:
        request.tree = true;
        return true;
    case kOptFlat:
        request.flat = true;
        return true;
    case kOptJson:
        request.common.output = Output::json;
        return true;
    default:
        return false;
    }
}

bool is_good(const Request& request)
{
    if (request.flat && (request.tree || request.has_block_size)) {
        misuse("--flat cannot be used with --tree or --block-size");
        return false;
    }
    using enum crypto::Hash;
    if (!request.flat && request.algorithm != sha256 && request.algorithm != sha384 &&
        request.algorithm != sha512) {
        misuse(
            fmt::format("'{}' can only be used with --flat", crypto::name_of(request.algorithm)));
        return false;
    }
    if (request.paths.empty()) {
        misuse("Expecting image file name");
        return false;
    }
    return true;
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:pqU", kLong.data()};
    if (!read_options(reader, request, take)) {
        return false;
    }
    for (const char* path : reader.operands()) {
        request.paths.emplace_back(path);
    }
    return is_good(request);
}

/// Prints rows as they come: a tree may have millions.
class Printer {
public:
    explicit Printer(const Request& request) : request_{request}
    {
        if (json()) {
            writer_.begin_array();
        }
    }

    void begin(const std::string& path, u64 size)
    {
        if (!json()) {
            return;
        }
        writer_.begin_object();
        writer_.key("filename");
        writer_.value(path);
        writer_.key("virtual-size");
        writer_.value(size);
        writer_.key("algorithm");
        writer_.value(crypto::name_of(request_.algorithm));
        writer_.key("kind");
        writer_.value(request_.flat ? "flat" : "tree");
        if (!request_.flat) {
            writer_.key("block-size");
            writer_.value(request_.block_size);
        }
        if (request_.tree) {
            writer_.key("blocks");
            writer_.begin_array();
        }
    }

    void block(const TreeBlock& block)
    {
        if (!json()) {
            base::print("{:#018x} {:#012x} {}{}\n", block.offset, block.length, block.digest.hex(),
                        block.zero ? " zero" : "");
            return;
        }
        writer_.begin_object();
        writer_.key("start");
        writer_.value(block.offset);
        writer_.key("length");
        writer_.value(block.length);
        writer_.key("zero");
        writer_.value_bool(block.zero);
        writer_.key("digest");
        writer_.value(block.digest.hex());
        writer_.end_object();
        flush();
    }

    /// `digest` is null when none could be made.
    void end(const std::string& path, const Digest* digest)
    {
        if (!json()) {
            if (digest != nullptr) {
                base::print("{}  {}\n", digest->hex(), path);
            }
            return;
        }
        if (request_.tree) {
            writer_.end_array();
        }
        if (digest != nullptr) {
            writer_.key("digest");
            writer_.value(digest->hex());
        }
        writer_.end_object();
        flush();
    }

    void finish()
    {
        if (json()) {
            writer_.end_array();
            flush();
            base::print("\n");
        }
    }

private:
    bool json() const { return request_.common.output == Output::json; }
    void flush() { base::print("{}", writer_.take()); }

    const Request& request_;
    JsonWriter writer_;
};

bool hash_one(const Request& request, const std::string& path, Printer& printer)
{
    const auto disk = open_named(request.common, {.path = path, .format = request.format});
    if (disk == nullptr) {
        return false;
    }
    printer.begin(path, disk->size());
    Progress progress{request.common.progress && !request.common.quiet};
    const auto step = [&](u64 done, u64 total) {
        return progress.step(done, total) && !base::answer_lost();
    };
    TreeHashOptions options{
        .algorithm = request.algorithm, .block_size = request.block_size, .progress = step};
    if (request.tree) {
        options.visit = [&](const TreeBlock& block) { printer.block(block); };
    }
    const auto digest =
        request.flat ? flat_hash(*disk, request.algorithm, step) : tree_hash(*disk, options);
    printer.end(path, digest ? &digest.value() : nullptr);
    if (!digest && !base::answer_lost()) {
        report(fmt::format("{}: {}", path, digest.error().message));
    }
    return static_cast<bool>(digest);
}

} // namespace

int run_hash(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    int code = kSuccess;
    Printer printer{request};
    for (const std::string& path : request.paths) {
        if (!hash_one(request, path, printer)) {
            code = kFailure;
        }
    }
    printer.finish();
    return code;
}

} // namespace img::cli
