// imgtool patch
#include "imgtool/ops/patch.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/ops/staging.hpp"
#include "imgtool/source/file_source.hpp"

#include <fmt/format.h>

#include <array>
#include <string>

namespace img::cli {

namespace {

constexpr const char* kHelp =
    R"(usage: {0} patch [options] {{-o output_filename | --in-place}} filename delta
Makes the disk that a delta file (of 'diff -o') leads to. The image must hold just the disk that the
delta was made from, in whatever format; that is checked first, and the outcome is checked too.

  -o output_filename     make a new image; it appears when it is complete, or not at all
  -O fmt                 its format; the first image's when it is not given
      --in-place         change the image itself, once it has been found to be the right one. If that
                         is interrupted, the image is neither the old disk nor the new
  -f fmt                 the image's format; it is looked at when it is not given
  -U, --force-share      take no lock
  -p, --progress         show progress
  -q, --quiet            say nothing of success
      --image-opts, --object    as for the other commands

Exits with 0, or 1 when the disk could not be made.

Examples:
  {0} patch -o tuesday.qcow2 monday.qcow2 day.delta
  {0} patch -o tuesday.vmdk -O vmdk monday.raw day.delta
  {0} patch --in-place monday.qcow2 day.delta
)";

enum LocalOption { kOptInPlace = 1000 };

constexpr auto kLong =
    with_common(std::array<option, 1>{{{"in-place", no_argument, nullptr, kOptInPlace}}}, false);

struct Request {
    std::string path;
    std::string delta;
    std::string format;
    std::string target;
    std::string target_format;
    bool in_place = false;
    bool help = false;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'h':
        request.help = true;
        return true;
    case 'f':
        request.format = value;
        return true;
    case 'o':
        request.target = value;
        return true;
    case 'O':
        request.target_format = value;
        return true;
    case kOptInPlace:
        request.in_place = true;
        return true;
    default:
        return take_common(c, value, request.common) == Taken::yes;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:o:O:pqU", kLong.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        if (!take(c, reader.value(), request)) {
            return false;
        }
    }
    if (request.help) {
        return true;
    }
    const auto operands = reader.operands();
    if (operands.size() != 2) {
        misuse("Expecting the names of an image and of a delta file");
        return false;
    }
    if (request.in_place != request.target.empty()) {
        misuse("Expecting either -o or --in-place");
        return false;
    }
    if (request.in_place && !request.target_format.empty()) {
        misuse("-O cannot be used with --in-place");
        return false;
    }
    request.path = operands[0];
    request.delta = operands[1];
    return true;
}

class Patching {
public:
    explicit Patching(const Request& request)
        : request_{request}, progress_{request.common.progress && !request.common.quiet},
          step_{[this](u64 done, u64 total) { return progress_.step(done, total); }}
    {}

    Status run()
    {
        auto file = FileSource::open(request_.delta, FileSource::Access::read_only, Locking::off);
        if (!file) {
            return std::move(file).error().in(request_.delta);
        }
        auto delta = DeltaReader::open(*file.value());
        if (!delta) {
            return std::move(delta).error().in(request_.delta);
        }
        if (auto good = delta.value().verify(); !good) {
            return std::move(good).error().in(request_.delta);
        }
        disk_ = open_named(
            request_.common,
            {.path = request_.path, .format = request_.format, .writable = request_.in_place});
        if (disk_ == nullptr) {
            return base::fail(base::Errc::io, ""); // has been reported
        }
        if (auto good = check_base(*disk_, delta.value().header(), step_); !good) {
            return std::move(good).error().in(request_.path);
        }
        return request_.in_place ? change(delta.value()) : make_new(delta.value());
    }

private:
    Status change(DeltaReader& delta)
    {
        const DeltaHeader& header = delta.header();
        auto done = base::ok();
        if (header.new_size != header.old_size) {
            done = disk_->resize(header.new_size, Preallocate::none);
        }
        if (done) {
            done = apply_delta(delta, *disk_, step_);
        }
        return done ? std::move(done) : Status{std::move(done).error().in(request_.path)};
    }

    Status make_new(DeltaReader& delta)
    {
        auto staging = Staging::next_to(request_.target);
        if (!staging) {
            return std::move(staging).error().in(request_.target);
        }
        auto made = make_staged(delta, staging.value().path());
        if (made) {
            made = staging.value().publish();
        }
        return made ? std::move(made) : Status{std::move(made).error().in(request_.target)};
    }

    Status make_staged(DeltaReader& delta, const std::string& path)
    {
        const std::string& name = request_.target_format.empty() ? disk_->layers().front().format
                                                                 : request_.target_format;
        const FormatDriver* format = find_format(name);
        if (format == nullptr) {
            return base::fail(base::Errc::invalid_argument,
                              fmt::format("Unknown file format '{}'", name));
        }
        auto settings =
            complete_settings(*format, {{"size", std::to_string(delta.header().new_size)}});
        if (!settings) {
            return std::move(settings).error();
        }
        if (auto made = create_image(*format, path, settings.value()); !made) {
            return made;
        }
        auto target = open_chain({.path = path, .format = std::string{name}, .read_only = false});
        if (!target) {
            return std::move(target).error();
        }
        if (auto copied = copy_disk(*disk_, *target.value(), step_); !copied) {
            return copied;
        }
        return apply_delta(delta, *target.value(), step_);
    }

    const Request& request_;
    Progress progress_;
    PatchProgress step_;
    std::unique_ptr<ChainDisk> disk_;
};

} // namespace

int run_patch(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    if (request.help) {
        fmt::print(fmt::runtime(kHelp), program_name());
        return kSuccess;
    }
    catch_interrupts();
    const auto done = Patching{request}.run();
    if (!done && !done.error().message.empty() && !interrupted()) {
        report(done.error().message);
    }
    return finish(done ? kSuccess : kFailure);
}

} // namespace img::cli
