// imgtool diff
#include "imgtool/ops/diff.hpp"
#include "base/output.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/ops/delta.hpp"
#include "imgtool/ops/staging.hpp"
#include "imgtool/source/file_source.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>

namespace img::cli {

namespace {

constexpr int kDiffer = 1; // as of diff(1); kTrouble is the rest

enum LocalOption { kOptJson = 1000 };

constexpr auto kLong =
    with_common(std::array<option, 1>{{{"json", no_argument, nullptr, kOptJson}}});

struct Request {
    std::array<std::string, 2> paths;
    std::array<std::string, 2> formats;
    std::string delta;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.formats[0] = value;
        return true;
    case 'F':
        request.formats[1] = value;
        return true;
    case 'o':
        request.delta = value;
        return true;
    case kOptJson:
        request.common.output = Output::json;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:F:o:pqU", kLong.data()};
    return read_options(reader, request, take) &&
           take_operands(reader, "Expecting two image file names",
                         {&request.paths[0], &request.paths[1]});
}

using Disks = std::array<std::unique_ptr<ChainDisk>, 2>;

/// Prints differences, neighbours together.
class Printer {
public:
    Printer(const Request& request, u64 common_size) : request_{request}, common_{common_size}
    {
        if (json()) {
            writer_.begin_array();
        }
    }

    void add(u64 offset, u64 length, std::string_view has)
    {
        if (row_.length != 0 && row_.has == has && row_.offset + row_.length == offset) {
            row_.length += length;
            return;
        }
        print();
        row_ = {.offset = offset, .length = length, .has = has};
    }
    /// What lies past the end of the shorter disk is told at the end, as one.
    void add(const Difference& d)
    {
        if (d.offset < common_) {
            add(d.offset, std::min(d.length, common_ - d.offset),
                d.bytes.empty() ? "zero" : "data");
        }
    }

    void finish()
    {
        print();
        if (json()) {
            writer_.end_array();
            base::print("{}\n", writer_.take());
        }
    }

private:
    struct Row {
        u64 offset = 0;
        u64 length = 0; // 0: none
        std::string_view has = {};
    };

    bool json() const { return request_.common.output == Output::json; }

    void print()
    {
        if (row_.length == 0) {
            return;
        }
        if (!json()) {
            base::print("{:#018x} {:#012x} {}\n", row_.offset, row_.length, row_.has);
            return;
        }
        writer_.begin_object();
        writer_.key("start");
        writer_.value(row_.offset);
        writer_.key("length");
        writer_.value(row_.length);
        writer_.key("second");
        writer_.value(row_.has);
        writer_.end_object();
        base::print("{}", writer_.take());
    }

    const Request& request_;
    u64 common_; // bytes of the shorter disk
    JsonWriter writer_;
    Row row_;
};

int tell_trouble(const base::Error& error)
{
    report(error.message);
    return kTrouble;
}

int print_differences(const Request& request, const Disks& disks, Progress& progress)
{
    const u64 old_size = disks[0]->size();
    const u64 new_size = disks[1]->size();
    const u64 common = std::min(old_size, new_size);
    bool differs = old_size != new_size;
    if (differs && request.common.quiet) {
        return kDiffer;
    }
    std::optional<Printer> printer;
    if (!request.common.quiet) {
        printer.emplace(request, common);
    }
    const auto done = diff(*disks[0], *disks[1],
                           {.visit =
                                [&](const Difference& d) {
                                    differs = true;
                                    if (printer) {
                                        printer->add(d);
                                    }
                                    return base::ok();
                                },
                            .progress =
                                [&](u64 at, u64 total) {
                                    // Past the shorter disk's end all differs; when quiet, one is
                                    // enough.
                                    return progress.step(at, total) && at < common &&
                                           (printer || !differs) && !base::answer_lost();
                                }});
    const bool stopped = !done && done.error().message == "interrupted";
    if (!done && !(stopped && !interrupted())) {
        return tell_trouble(done.error());
    }
    if (printer) {
        if (old_size != new_size) {
            printer->add(common, std::max(old_size, new_size) - common,
                         old_size < new_size ? "more" : "nothing");
        }
        printer->finish();
    }
    return differs ? kDiffer : kSuccess;
}

Result<DeltaHeader> make_header(const Disks& disks, Progress& progress)
{
    DeltaHeader header{.old_size = disks[0]->size(), .new_size = disks[1]->size()};
    const auto step = [&](u64 done, u64 total) { return progress.step(done / 3, total); };
    for (std::size_t i = 0; i < 2; ++i) {
        auto hash = tree_hash(*disks[i], {.block_size = header.block_size, .progress = step});
        if (!hash) {
            return std::move(hash).error();
        }
        (i == 0 ? header.old_hash : header.new_hash) = hash.value();
    }
    return header;
}

/// Says whether there are differences.
Result<bool> write_delta(const Disks& disks, ByteSource& file, Progress& progress)
{
    auto header = make_header(disks, progress);
    if (!header) {
        return std::move(header).error();
    }
    auto writer = DeltaWriter::begin(file, header.value());
    if (!writer) {
        return std::move(writer).error();
    }
    auto done = diff(*disks[0], *disks[1],
                     {.visit =
                          [&](const Difference& d) {
                              return d.bytes.empty() ? writer.value().add_zeroes(d.offset, d.length)
                                                     : writer.value().add_data(d.offset, d.bytes);
                          },
                      .progress = [&](u64 at, u64 total) { return progress.step(at, total); }});
    if (done) {
        done = writer.value().finish();
    }
    if (!done) {
        return std::move(done).error();
    }
    return !(header.value().old_hash == header.value().new_hash);
}

int make_delta(const Request& request, const Disks& disks, Progress& progress)
{
    const auto trouble = [&](base::Error error) {
        return tell_trouble(std::move(error).in(request.delta));
    };
    auto staging = Staging::next_to(request.delta);
    if (!staging) {
        return trouble(std::move(staging).error());
    }
    auto file = FileSource::create(staging.value().path());
    if (!file) {
        return trouble(std::move(file).error());
    }
    auto differs = write_delta(disks, *file.value(), progress);
    if (!differs) {
        return trouble(std::move(differs).error());
    }
    if (auto published = staging.value().publish(); !published) {
        return trouble(std::move(published).error());
    }
    return differs.value() ? kDiffer : kSuccess;
}

} // namespace

int run_diff(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kTrouble;
    }
    catch_interrupts();
    Disks disks;
    for (std::size_t i = 0; i < 2; ++i) {
        disks[i] =
            open_named(request.common, {.path = request.paths[i], .format = request.formats[i]});
        if (disks[i] == nullptr) {
            return kTrouble;
        }
    }
    Progress progress{request.common.progress && !request.common.quiet};
    return finish(request.delta.empty() ? print_differences(request, disks, progress)
                                        : make_delta(request, disks, progress));
}

} // namespace img::cli
