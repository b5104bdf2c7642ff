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
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
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
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:o:O:pqU", kLong.data()};
    if (!read_options(reader, request, take) ||
        !take_operands(reader, "Expecting the names of an image and of a delta file",
                       {&request.path, &request.delta})) {
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
    catch_interrupts();
    const auto done = Patching{request}.run();
    if (!done && !done.error().message.empty() && !interrupted()) {
        report(done.error().message);
    }
    return finish(done ? kSuccess : kFailure);
}

} // namespace img::cli
