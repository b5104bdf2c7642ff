// imgtool convert
#include "imgtool/ops/convert.hpp"
#include "imgtool/cli/convert_request.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/progress.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/content_identity.hpp"
#include "imgtool/ops/copy_bitmaps.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/ops/rate_limit.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::cli {

namespace {

const std::string* find(const CreateSettings& settings, std::string_view name)
{
    const std::string* found = nullptr;
    for (const auto& [key, value] : settings) {
        found = key == name ? &value : found;
    }
    return found;
}

bool is_on(const CreateSettings& settings, std::string_view name)
{
    const std::string* value = find(settings, name);
    return value != nullptr && (*value == "on" || *value == "yes" || *value == "true");
}

/// What of the options for making an image is needed to open it: "encrypt.key-secret".
CreateSettings key_secrets(const CreateSettings& settings)
{
    CreateSettings keys;
    for (const auto& setting : settings) {
        if (setting.first.ends_with("key-secret")) {
            keys.push_back(setting);
        }
    }
    return keys;
}

/// Each step says false when it failed and reported why.
class Conversion {
public:
    explicit Conversion(const ConvertRequest& request)
        : request_{request}, progress_{request.common.progress && !request.common.quiet}
    {}

    bool run();

private:
    bool open_sources();
    bool choose_snapshot();
    bool choose_format();
    bool choose_backing();
    bool check_packing();
    bool check_bitmaps();
    bool choose_identity();
    bool make_target();
    bool open_target();
    bool check_target();
    LossSink loss_sink(const char* what);
    LossSink status_sink();
    bool measure_data();
    bool show(u64 done, u64 total);
    bool copy();
    bool take_bitmaps();

    bool fail(const std::string& message) const
    {
        report(message);
        return false;
    }

    const ConvertRequest& request_;
    Progress progress_;
    std::vector<std::unique_ptr<ChainDisk>> sources_;
    std::unique_ptr<ContentIdentity> content_identity_; // with --reproducible; target_ uses it
    Unfinished unfinished_;                             // closed before it is removed
    std::unique_ptr<ChainDisk> target_;
    const FormatDriver* format_ = nullptr; // null with -n
    std::string backing_;
    std::string backing_format_;
    u64 total_ = 0; // bytes

    /// Where data ends in the target, and how much of it there is up to there. Only for -p.
    struct DataEnd {
        u64 at;   // bytes
        u64 data; // bytes
    };
    std::vector<DataEnd> data_ends_;
    std::size_t passed_ = 0; // of data_ends_
};

bool Conversion::open_sources()
{
    for (const std::string& path : request_.sources) {
        auto source = open_named(request_.common, {.path = path, .format = request_.source_format});
        if (source == nullptr) {
            return false;
        }
        total_ += source->size();
        sources_.push_back(std::move(source));
    }
    return true;
}

/// -l: from now on the first source reads as that snapshot does.
bool Conversion::choose_snapshot()
{
    if (sources_.size() > 1 && !request_.snapshot.either.value_or("").empty()) {
        return fail("No support for concatenating multiple snapshot");
    }
    return view_snapshot(*sources_[0], request_.snapshot);
}

bool Conversion::choose_format()
{
    if (request_.skip_create) {
        return true;
    }
    format_ = find_format(request_.format_name());
    if (format_ == nullptr) {
        return fail(fmt::format("Unknown file format '{}'", request_.format_name()));
    }
    if (format_->create == nullptr) {
        return fail(
            fmt::format("Format driver '{}' does not support image creation", format_->name));
    }
    // Names and types; the rest needs what is found out next.
    if (auto good = complete_settings(*format_, request_.settings); !good) {
        return fail(good.error().message);
    }
    return true;
}

bool Conversion::choose_backing()
{
    backing_ = request_.backing;
    backing_format_ = request_.backing_format;
    if (format_ != nullptr && !format_->has_backing) {
        if (!backing_.empty()) {
            return fail(
                fmt::format("Backing file not supported for file format '{}'", format_->name));
        }
        if (!backing_format_.empty()) {
            return fail(fmt::format("Backing file format not supported for file format '{}'",
                                    format_->name));
        }
    }
    if (const std::string* name = find(request_.settings, "backing_file");
        backing_.empty() && name != nullptr) {
        backing_ = *name;
    }
    if (const std::string* name = find(request_.settings, "backing_fmt");
        backing_format_.empty() && name != nullptr) {
        backing_format_ = *name;
    }
    if (sources_.size() > 1 && !backing_.empty()) {
        return fail("Having a backing file for the target makes no sense when concatenating "
                    "multiple input images");
    }
    if (format_ != nullptr && !backing_.empty() && backing_format_.empty()) {
        return fail("Use of backing file requires explicit backing format");
    }
    if (request_.target_is_zero && !backing_.empty()) {
        return fail("Cannot use --target-is-zero when the destination image has a backing file");
    }
    return true;
}

bool Conversion::check_packing()
{
    if (!request_.compress || format_ == nullptr) {
        return true;
    }
    if (!format_->packs) {
        return fail("Compression not supported for this file format");
    }
    if (is_on(request_.settings, "encryption") ||
        find(request_.settings, "encrypt.format") != nullptr) {
        return fail("Compression and encryption not supported at the same time");
    }
    const std::string* how = find(request_.settings, "preallocation");
    if (how != nullptr && *how != "off") {
        return fail("Compression and preallocation not supported at the same time");
    }
    return true;
}

bool Conversion::check_bitmaps()
{
    if (!request_.bitmaps) {
        return true;
    }
    if (sources_.size() > 1) {
        return fail("Copying bitmaps only possible with single source");
    }
    Image& image = *sources_[0]->layers().front().image;
    if (image.bitmaps() == nullptr) {
        return fail("Source lacks bitmap support");
    }
    const std::string broken = find_broken_bitmap(image);
    if (!broken.empty() && !request_.skip_broken_bitmaps) {
        report(fmt::format("Cannot copy inconsistent bitmap '{}'", broken));
        std::fprintf(stderr, "Try --skip-broken-bitmaps, or use 'qemu-img bitmap "
                             "--remove' to delete it\n");
        return false;
    }
    return true;
}

/// --reproducible: what is random elsewhere is made of the content.
bool Conversion::choose_identity()
{
    if (!request_.reproducible) {
        return true;
    }
    if (format_ == nullptr) {
        return fail("--reproducible cannot be used with -n: the outcome depends on what is there");
    }
    if (format_->name == "luks" || is_on(request_.settings, "encryption") ||
        find(request_.settings, "encrypt.format") != nullptr) {
        return fail("--reproducible cannot be used with encryption, whose keys are random");
    }
    auto identity = ContentIdentity::of(sources_);
    if (!identity) {
        return fail(identity.error().message);
    }
    content_identity_ = std::move(identity).value();
    return true;
}

bool Conversion::make_target()
{
    if (format_ == nullptr) {
        return true;
    }
    const auto failed = [&](const std::string& why) {
        return fail(
            fmt::format("{}: error while converting {}: {}", request_.target, format_->name, why));
    };
    if (!backing_format_.empty() && find_format(backing_format_) == nullptr) {
        return failed(
            fmt::format("Parameter 'backing-fmt' does not accept value '{}'", backing_format_));
    }
    if (!backing_format_.empty() && backing_.empty()) {
        return failed("Backing format cannot be used without backing file");
    }
    CreateSettings settings = request_.settings;
    settings.emplace_back("size", std::to_string(total_)); // whatever -o says
    if (!backing_.empty()) {
        settings.emplace_back("backing_file", backing_);
        settings.emplace_back("backing_fmt", backing_format_);
    }
    auto completed = complete_settings(*format_, settings);
    if (!completed) {
        return failed(completed.error().message);
    }
    if (auto made = create_image(
            *format_, request_.target, completed.value(), &request_.common.secrets,
            content_identity_ ? *content_identity_ : Identity::of_host(), &unfinished_);
        !made) {
        return failed(made.error().message);
    }
    return true;
}

bool Conversion::open_target()
{
    Common common = request_.common;
    common.image_opts = request_.target_image_opts;
    common.share = false;
    const bool guess = request_.target_image_opts && !request_.target_format;
    target_ = open_named(
        common, {.path = request_.target,
                 .format = guess ? "" : request_.format_name(),
                 .writable = true,
                 .cache = request_.cache,
                 .format_options = key_secrets(request_.settings),
                 .identity = content_identity_ ? content_identity_.get() : &Identity::of_host()});
    return target_ != nullptr;
}

bool Conversion::check_target()
{
    const Layer& top = target_->layers().front();
    BitmapStore* bitmaps = top.image->bitmaps();
    if (request_.bitmaps && (bitmaps == nullptr || !bitmaps->can_add())) {
        return fail(fmt::format("Format driver '{}' does not support bitmaps", top.format));
    }
    // Variants that do not compress, of formats that can, are written as they are.
    const FormatDriver* format = find_format(top.format);
    if (request_.compress && !top.image->packing() && (format == nullptr || !format->packs)) {
        return fail("Compression not supported for this file format");
    }
    if (request_.compress && top.image->info().cluster_size == 0) {
        return fail("invalid cluster size");
    }
    if (request_.skip_create && target_->size() < total_) {
        return fail("output file is smaller than input file");
    }
    return true;
}

/// Tells what --salvage could not read.
LossSink Conversion::loss_sink(const char* what)
{
    return [this, what](u64 offset, const base::Error& error) {
        if (!request_.common.quiet) {
            report(
                fmt::format("warning: error while reading {} {}: {}", what, offset, error.message));
        }
    };
}

LossSink Conversion::status_sink()
{
    return request_.salvage ? loss_sink("block status at offset") : LossSink{};
}

/// Holes take no time, so that -p shows how much of the data is copied.
bool Conversion::measure_data()
{
    if (!progress_.shown() && !request_.salvage) {
        return true;
    }
    constexpr u64 kStep = u64{2} << 20; // bytes
    u64 start = 0;
    u64 data = 0;
    for (const auto& source : sources_) {
        for (u64 offset = 0; offset < source->size();) {
            auto found = seek(*source, offset, source->size() - offset, status_sink());
            if (!found) {
                break; // the copy will tell
            }
            const auto& [extent, depth] = found.value().found;
            const bool zero =
                extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing;
            const u64 end = offset + extent.length;
            if ((zero && request_.sparse_size != u64{0}) || (!backing_.empty() && depth > 0)) {
                offset = end;
            }
            while (offset < end) {
                const u64 n = std::min(kStep, end - offset);
                offset += n;
                data += n;
                data_ends_.push_back({start + offset, data});
            }
        }
        start += source->size();
    }
    return true;
}

bool Conversion::show(u64 done, u64 total)
{
    if (data_ends_.empty()) {
        return progress_.step(done, total);
    }
    const std::size_t before = passed_;
    while (passed_ < data_ends_.size() && data_ends_[passed_].at <= done) {
        ++passed_;
    }
    return passed_ == before ? !interrupted()
                             : progress_.step(data_ends_[passed_ - 1].data, data_ends_.back().data);
}

bool Conversion::copy()
{
    const bool fresh = !request_.skip_create;
    RateLimit limit{request_.rate};
    ConvertOptions options{
        .sparse_size = request_.sparse_size.value_or(4096),
        .compress = request_.compress,
        .target_is_zero =
            request_.target_is_zero ||
            (fresh && backing_.empty() && target_->layers().front().image->is_zero_when_new()),
        .target_has_backing = !backing_.empty(),
        .own_zeroes = request_.skip_create,
        // Where zeroes are kept, nothing needs to be looked at.
        .offload = !request_.salvage && (request_.copy_range || request_.sparse_size == u64{0}),
        .threads = request_.threads,
        .progress = [this](u64 done, u64 total) { return show(done, total); }};
    if (request_.salvage) {
        options.threads = 1; // what is lost is told in order
        options.salvage = loss_sink("offset");
        options.salvage_status = status_sink();
    }
    if (request_.rate != 0) {
        options.throttle = [&limit](u64 bytes) { limit.spend(bytes, interrupted); };
    }
    auto done = convert(sources_, *target_, options);
    if (done) {
        done = target_->flush();
    }
    if (!done && !interrupted()) {
        report(done.error().message);
    }
    return static_cast<bool>(done);
}

bool Conversion::take_bitmaps()
{
    if (!request_.bitmaps) {
        return true;
    }
    const auto skipped = [](const std::string& name) {
        report(fmt::format("warning: Skipping inconsistent bitmap '{}'", name));
    };
    Image& target = *target_->layers().front().image;
    auto done = copy_bitmaps(*sources_[0]->layers().front().image, target,
                             request_.skip_broken_bitmaps, skipped);
    if (done) {
        done = target.flush();
    }
    return done ? true : fail(done.error().message);
}

bool Conversion::run()
{
    using Step = bool (Conversion::*)();
    static constexpr Step kSteps[]{
        &Conversion::open_sources,    &Conversion::choose_snapshot, &Conversion::choose_format,
        &Conversion::choose_backing,  &Conversion::check_packing,   &Conversion::check_bitmaps,
        &Conversion::choose_identity, &Conversion::make_target,     &Conversion::open_target,
        &Conversion::check_target,    &Conversion::measure_data,    &Conversion::copy,
        &Conversion::take_bitmaps};
    for (const Step step : kSteps) {
        if (!(this->*step)()) {
            return false;
        }
    }
    unfinished_.keep();
    progress_.show(100);
    return true;
}

int print_options(const ConvertRequest& request)
{
    const FormatDriver* format = find_format(request.format_name());
    if (format == nullptr) {
        return report(fmt::format("Unknown file format '{}'", request.format_name()));
    }
    return print_create_options(*format, !request.target.empty());
}

} // namespace

int run_convert(int argc, char** argv)
{
    ConvertRequest request;
    if (!parse_convert(argc, argv, request)) {
        return kFailure;
    }
    if (request.help) {
        return print_options(request);
    }
    catch_interrupts();
    const bool done = Conversion{request}.run(); // and files are closed, or removed
    return finish(done ? kSuccess : kFailure);
}

} // namespace img::cli
