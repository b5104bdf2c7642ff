// imgtool map
#include "base/output.hpp"
#include "imgtool/cli/common.hpp"
#include "imgtool/open.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    Common common;
    u64 start = 0;                 // bytes
    std::optional<u64> max_length; // bytes
};

/// A range of the disk of one nature; a row of the output.
struct Row {
    u64 start;
    u64 length;
    std::size_t depth;
    bool present;
    bool zero;
    bool data;
    bool compressed = false;
    std::optional<u64> offset; // in the file
    std::string file;          // its name

    bool continues(const Row& before) const
    {
        return depth == before.depth && present == before.present && zero == before.zero &&
               data == before.data && compressed == before.compressed &&
               offset.has_value() == before.offset.has_value() &&
               (!offset || (*offset == *before.offset + before.length && file == before.file));
    }
};

bool parse_number(const char* text, std::string_view what, u64& into)
{
    auto parsed = parse_size(text);
    if (!parsed) {
        report(
            fmt::format("Invalid {} specified. You may use k, M, G, T, P or E suffixes for", what));
        report("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
        return false;
    }
    into = parsed.value();
    return true;
}

bool take(int c, const char* value, Request& request)
{
    u64 max_length = 0;
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 's':
        return parse_number(value, "start offset", request.start);
    case 'l':
        if (!parse_number(value, "max length", max_length)) {
            return false;
        }
        request.max_length = max_length;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 3>{{{"format", required_argument, nullptr, 'f'},
                                           {"start-offset", required_argument, nullptr, 's'},
                                           {"max-length", required_argument, nullptr, 'l'}}});
    OptionReader reader{argc, argv, "f:s:l:hU", kLong.data()};
    return read_options(reader, request, take) && take_one_operand(reader, request.path);
}

Row row_of(ChainDisk& disk, const ChainDisk::Found& found, u64 start)
{
    const Extent& e = found.extent;
    Row row{.start = start,
            .length = e.length,
            .depth = found.depth,
            .present = e.kind != Extent::Kind::backing,
            .zero = e.kind == Extent::Kind::zero || e.kind == Extent::Kind::backing,
            .data = e.kind == Extent::Kind::data || e.kind == Extent::Kind::compressed || e.stored,
            .compressed = e.kind == Extent::Kind::compressed,
            .offset = std::nullopt,
            .file = {}};
    if (e.marked) { // as qemu-img shows dirty bitmaps
        row.present = row.data = false;
        return row;
    }
    if (e.kind == Extent::Kind::data || e.reserved) {
        row.offset = e.at.bytes;
        row.file = e.in != nullptr ? e.in->name() : disk.layers()[found.depth].path;
    }
    return row;
}

class Printer {
public:
    explicit Printer(Output output) : output_{output}
    {
        if (output == Output::human) {
            std::printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
        } else {
            std::fputs("[", stdout);
        }
    }

    /// False: the row cannot be shown, and that was reported.
    bool print(const Row& row, bool last)
    {
        if (output_ == Output::human) {
            return print_human(row);
        }
        std::printf("{ \"start\": %llu, \"length\": %llu, \"depth\": %zu, \"present\": %s, "
                    "\"zero\": %s, \"data\": %s",
                    static_cast<unsigned long long>(row.start),
                    static_cast<unsigned long long>(row.length), row.depth, text(row.present),
                    text(row.zero), text(row.data));
        if (has_later_members()) {
            std::printf(", \"compressed\": %s", text(row.compressed));
        }
        if (row.offset) {
            std::printf(", \"offset\": %llu", static_cast<unsigned long long>(*row.offset));
        }
        std::fputs(last ? "}" : "},\n", stdout);
        return true;
    }

    void finish()
    {
        if (output_ == Output::json) {
            std::puts("]");
        }
    }

private:
    static const char* text(bool on) { return on ? "true" : "false"; }

    bool print_human(const Row& row)
    {
        if (row.data && !row.offset) {
            report("File contains external, encrypted or compressed clusters.");
            return false;
        }
        if (row.data && !row.zero) {
            std::printf("%#-16llx%#-16llx%#-16llx%s\n", static_cast<unsigned long long>(row.start),
                        static_cast<unsigned long long>(row.length),
                        static_cast<unsigned long long>(*row.offset), row.file.c_str());
        }
        return true;
    }

    Output output_;
};

int print_map(ChainDisk& disk, const Request& request)
{
    Printer printer{request.common.output};
    const u64 size = disk.size();
    const u64 limit = request.max_length.value_or(size);
    const u64 end = request.start + std::min(limit, size - std::min(size, request.start));
    std::optional<Row> pending;
    if (request.start >= end) {
        pending = Row{.start = request.start,
                      .length = 0,
                      .depth = 0,
                      .present = false,
                      .zero = false,
                      .data = false,
                      .offset = std::nullopt,
                      .file = {}};
    }
    for (u64 at = request.start; at < end && !base::answer_lost();) {
        auto found = disk.find(at, end - at, MapDetail::exact);
        if (!found) {
            return report("Failed to read image metadata: " + found.error().message);
        }
        const Row row = row_of(disk, found.value(), at);
        at += row.length;
        if (pending && row.continues(*pending)) {
            pending->length += row.length;
            continue;
        }
        if (pending && !printer.print(*pending, false)) {
            return kFailure;
        }
        pending = row;
    }
    if (pending && !printer.print(*pending, true)) {
        return kFailure;
    }
    printer.finish();
    return kSuccess;
}

} // namespace

int run_map(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    auto options = open_options(request.common, request.path, request.format);
    if (!options) {
        return report(options.error().message);
    }
    options.value().backing.trust_probed = true;
    auto disk = open_chain(options.value());
    if (!disk) {
        return report(fmt::format("Could not open '{}': {}", request.path, disk.error().message));
    }
    return print_map(*disk.value(), request);
}

} // namespace img::cli
