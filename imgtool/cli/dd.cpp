// imgtool dd
#include "imgtool/cli/numbers.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <climits>
#include <optional>
#include <vector>

namespace img::cli {

namespace {

// Bytes copied at once, whatever the block size is called: that only says what the counts count.
constexpr u64 kPiece = u64{512} << 10;

struct Request {
    std::string input;
    std::string output;
    std::string input_format;
    std::string output_format = "raw";
    u64 block = 512;          // bytes
    std::optional<u64> count; // blocks
    u64 skip = 0;             // blocks
    Common common;
};

bool take_operand(std::string_view operand, Request& request)
{
    const std::size_t equals = operand.find('=');
    const std::string name{operand.substr(0, equals)};
    const std::string value{equals == std::string_view::npos ? "" : operand.substr(equals + 1)};
    std::optional<u64> number;
    if (equals == std::string_view::npos) {
        report(fmt::format("unrecognized operand {}", name));
        return false;
    }
    if (name == "if" || name == "of") {
        (name == "if" ? request.input : request.output) = value;
        return true;
    }
    if (name == "bs") {
        number = parse_bytes(value.c_str(), "bs", 1, INT_MAX);
        request.block = number.value_or(512);
    } else if (name == "count") {
        number = request.count = parse_bytes(value.c_str(), "count");
    } else if (name == "skip") {
        number = parse_bytes(value.c_str(), "skip");
        request.skip = number.value_or(0);
    } else {
        report(fmt::format("unrecognized operand {}", name));
    }
    return number.has_value();
}

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.input_format = value;
        return true;
    case 'O':
        request.output_format = value;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 2>{{{"format", required_argument, nullptr, 'f'},
                                           {"output-format", required_argument, nullptr, 'O'}}},
                    false);
    OptionReader reader{argc, argv, "hf:O:U", kLong.data()};
    if (!read_options(reader, request, take)) {
        return false;
    }
    bool has_input = false;
    bool has_output = false;
    for (const std::string_view operand : reader.operands()) {
        if (!take_operand(operand, request)) {
            return false;
        }
        has_input |= operand.starts_with("if=");
        has_output |= operand.starts_with("of=");
    }
    if (!has_input || !has_output) {
        report("Must specify both input and output files");
    }
    return has_input && has_output;
}

/// Makes the output image; nothing when why not was reported.
std::unique_ptr<ChainDisk> make_output(const Request& request, u64 size)
{
    const FormatDriver* format = find_format(request.output_format);
    if (format == nullptr) {
        report("Unknown file format");
        return nullptr;
    }
    if (format->create == nullptr) {
        report(fmt::format("Format driver '{}' does not support image creation", format->name));
        return nullptr;
    }
    const auto failed = [&](const base::Error& error) {
        report(fmt::format("{}: error while creating output image: {}", request.output,
                           error.message));
        return nullptr;
    };
    auto settings = complete_settings(*format, {{"size", std::to_string(size)}});
    if (!settings) {
        return failed(settings.error());
    }
    if (auto made = create_image(*format, request.output, settings.value()); !made) {
        return failed(made.error());
    }
    const Common plain; // --image-opts is of the input
    return open_named(plain,
                      {.path = request.output, .format = request.output_format, .writable = true});
}

int copy(ChainDisk& input, ChainDisk& output, u64 begin, u64 end)
{
    std::vector<u8> buffer(std::min(kPiece, end - begin));
    for (u64 at = begin; at < end;) {
        const std::span<u8> bytes = std::span{buffer}.first(std::min(kPiece, end - at));
        if (auto read = input.read(at, bytes); !read) {
            return report("error while reading from input image file: " + read.error().message);
        }
        if (auto written = output.write(at - begin, bytes); !written) {
            return report("error while writing to output image file: " + written.error().message);
        }
        at += bytes.size();
    }
    if (auto flushed = output.flush(); !flushed) {
        return report("error while writing to output image file: " + flushed.error().message);
    }
    return kSuccess;
}

} // namespace

int run_dd(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    const FormatDriver* format = find_format(request.output_format);
    auto input =
        open_named(request.common, {.path = request.input, .format = request.input_format});
    if (input == nullptr || format == nullptr) {
        return input == nullptr ? kFailure : report("Unknown file format");
    }
    // `count` is counted from the beginning of the input, not from where `skip` leads.
    u64 end = input->size();
    if (request.count && *request.count < end / request.block + 1) {
        end = std::min(end, *request.count * request.block);
    }
    const bool beyond = request.skip > end / request.block; // the product could overflow
    const u64 begin = beyond ? end : request.skip * request.block;
    auto output = make_output(request, end - begin);
    if (output == nullptr) {
        return kFailure;
    }
    if (beyond) {
        report(fmt::format("{}: cannot skip to specified offset", request.input));
    }
    return copy(*input, *output, begin, end);
}

} // namespace img::cli
