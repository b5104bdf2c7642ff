#include "imgtool/cli/open_named.hpp"

#include <fmt/format.h>

#include <optional>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace img::cli {

namespace {

void warn_if_guessed(const Layer& layer, bool writable)
{
    if (!writable || !layer.probed || layer.format != "raw") {
        return;
    }
    std::fprintf(stderr,
                 "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
                 "         Automatically detecting the format is dangerous for raw images, write "
                 "operations on block 0 will be restricted.\n"
                 "         Specify the 'raw' format explicitly to remove the restrictions.\n",
                 layer.path.c_str());
}

/// Nothing when it was reported.
std::optional<OpenOptions> prepare(const Common& common, const Named& named)
{
    if (common.image_opts && !named.format.empty()) {
        report("--image-opts and --format are mutually exclusive");
        return std::nullopt;
    }
    if (common.share && named.writable) {
        report(fmt::format("Could not open '{}': force-share=on can only be used with read-only "
                           "images",
                           named.path));
        return std::nullopt;
    }
    auto options = open_options(common, named.path, named.format);
    if (!options) {
        report(options.error().message);
        return std::nullopt;
    }
    options.value().read_only = !named.writable;
    options.value().unsafe = named.cache == "unsafe";
    options.value().backing.trust_probed = true;
    options.value().identity = named.identity;
    for (const auto& option : named.format_options) {
        options.value().format_options.push_back(option);
    }
    return std::move(options).value();
}

std::unique_ptr<ChainDisk> fail_open(const Named& named, const base::Error& error)
{
    report(fmt::format("Could not open '{}': {}", named.path, error.message));
    return nullptr;
}

} // namespace

std::unique_ptr<ChainDisk> open_named(const Common& common, const Named& named)
{
    auto options = prepare(common, named);
    if (!options) {
        return nullptr;
    }
    auto disk = open_chain(*options);
    if (!disk) {
        return fail_open(named, disk.error());
    }
    warn_if_guessed(disk.value()->layers().front(), named.writable);
    return std::move(disk).value();
}

std::unique_ptr<ChainDisk> open_named_alone(const Common& common, const Named& named)
{
    auto options = prepare(common, named);
    if (!options) {
        return nullptr;
    }
    auto layer = open_layer(*options, OpenFor::use);
    if (!layer) {
        return fail_open(named, layer.error());
    }
    warn_if_guessed(layer.value(), named.writable);
    std::vector<Layer> layers;
    layers.push_back(std::move(layer).value());
    return std::make_unique<ChainDisk>(std::move(layers), !named.writable);
}

bool good_cache(const std::string& mode, bool source)
{
    if (!is_cache_mode(mode)) {
        report(fmt::format("Invalid {}cache option: {}", source ? "source " : "", mode));
        return false;
    }
    return true;
}

bool same_file(const std::string& a, const std::string& b)
{
    struct stat sa = {};
    struct stat sb = {};
    return ::stat(a.c_str(), &sa) == 0 && ::stat(b.c_str(), &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

} // namespace img::cli
