#include "imgtool/chain/layer.hpp"

#include "imgtool/filter/fault_image.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/source/file_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sys/stat.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

/// Run-time options that decide what is read; they are part of an image's name. All others only
/// change how it is done.
constexpr std::array<std::string_view, 5> kPartOfName{"offset", "size", "encrypt.key-secret",
                                                      "key-secret", "force_size_calc"};

FileSource::Access access_of(bool read_only)
{
    return read_only ? FileSource::Access::read_only : FileSource::Access::read_write;
}

/// Takes an image's run-time options out of `options`, checked against what its format knows.
Result<CreateSettings> take_format_options(node::Options& options, const FormatDriver& format)
{
    CreateSettings taken;
    for (const CreateOption& option : format.open_options) {
        const auto value = options.take(option.name);
        if (!value) {
            continue;
        }
        auto checked = check_value(option, *value);
        if (!checked) {
            return std::move(checked).error();
        }
        taken.emplace_back(option.name, std::move(checked).value());
    }
    return taken;
}

/// What an image on `below` is called.
node::NodeName name_image(const FormatDriver& format, const node::Options& options,
                          const node::NodeName& below)
{
    node::NodeName name{.origin = below.origin, .no_origin = below.no_origin};
    bool exact = below.is_protocol;
    for (const auto& [key, value] : options.entries()) {
        const bool known = std::ranges::any_of(
            format.open_options, [&key = key](const CreateOption& o) { return o.name == key; });
        if (known && std::ranges::find(kPartOfName, key) != kPartOfName.end()) {
            name.full.add(key, value);
            exact = false;
        }
    }
    name.full.add("driver", node::Value::of_text(std::string{format.name}));
    name.full.add("file", below.full);
    name.exact = exact ? below.exact : "";
    return name;
}

Status refuse_reference(const node::Value& value)
{
    return fail(Errc::invalid_argument,
                fmt::format("Cannot find device='{0}' nor node-name='{0}'", node::text_of(value)));
}

/// What the names of an image's further files are relative to.
std::string place_of(const FormatDriver& format, const std::string& origin)
{
    return format.names_from_cwd && !node::has_protocol(origin)
               ? origin.substr(origin.rfind('/') + 1)
               : origin;
}

/// Where the file is that an image at `origin` calls `name`, if it may be opened.
Result<std::string> sibling_path(const BackingPolicy& policy, const std::string& origin,
                                 const std::string& name)
{
    // No protocols here, not even "file:" (CVE-2024-4467): a plain name, whatever it looks like.
    if (name.empty()) {
        return fail(Errc::invalid_argument, "the name of a further file is missing");
    }
    if (origin.empty() || node::has_protocol(origin)) {
        return fail(Errc::unsupported,
                    fmt::format("'{}' is not a file, so '{}' cannot be next to it", origin, name));
    }
    std::string path =
        name.starts_with('/') ? name : origin.substr(0, origin.rfind('/') + 1) + name;
    if (policy.allow && !policy.allow(path)) {
        return fail(Errc::invalid_argument,
                    fmt::format("file '{}' is not among the files allowed", path));
    }
    return path;
}

/// OpenContext::sibling_exists.
std::function<bool(const std::string&)> sibling_finder(const OpenOptions& options,
                                                       std::string origin)
{
    return [policy = options.backing, origin = std::move(origin)](const std::string& name) {
        const auto path = sibling_path(policy, origin, name);
        struct stat st = {};
        return path && ::stat(path.value().c_str(), &st) == 0 && !S_ISDIR(st.st_mode);
    };
}

Result<OpenedLayer> open_path(const OpenOptions& options, OpenFor purpose)
{
    if (options.path.empty()) {
        return fail(Errc::invalid_argument, "The 'file' block driver requires a file name");
    }
    auto file = FileSource::open(options.path, access_of(options.read_only),
                                 options.share ? Locking::off : Locking::on);
    if (!file) {
        return std::move(file).error();
    }
    file.value()->set_unsafe(options.unsafe);
    auto format = choose_format(*file.value(), options.format);
    if (!format) {
        return std::move(format).error();
    }
    OpenContext context{
        .purpose = purpose,
        .open_sibling = sibling_opener(options, place_of(*format.value(), options.path)),
        .sibling_exists = sibling_finder(options, place_of(*format.value(), options.path)),
        .trust_data_files = options.backing.trust_data_files,
        .secrets = options.secrets,
        .options = options.format_options,
        .no_io = options.no_io,
        .identity = options.identity};
    auto image = format.value()->open(std::move(file).value(), context);
    if (!image) {
        return std::move(image).error();
    }
    return OpenedLayer{.layer = {.image = std::move(image).value(),
                                 .path = options.path,
                                 .format = std::string{format.value()->name},
                                 .probed = options.format.empty(),
                                 .origin = options.path},
                       .read_only = options.read_only};
}

/// Opens an image that is described by a tree of nodes.
class NodeOpener {
public:
    NodeOpener(const OpenOptions& options, OpenFor purpose, BackingOptions backing)
        : options_{options}, purpose_{purpose}, knows_backing_{backing == BackingOptions::known},
          tree_{*options.node}, how_{options, options.read_only, options.share, options.unsafe,
                                     options.node_depth}
    {}

    Result<OpenedLayer> open()
    {
        if (auto done = take_backing_reference(); !done) {
            return std::move(done).error();
        }
        std::string driver = tree_.take("driver").value_or("");
        driver = options_.format.empty() ? driver : options_.format;
        if (const node::Value* image = tree_.find("image.driver");
            driver == "blkdebug" && image != nullptr && find_format(image->text) != nullptr) {
            return open_fault_filter();
        }
        if (node::find_protocol(driver) != nullptr) {
            return open_protocol(driver);
        }
        if (!driver.empty() && find_format(driver) == nullptr) {
            return node::unknown_driver(driver);
        }
        return open_format(driver);
    }

private:
    Status take_backing_reference()
    {
        const node::Value* backing = tree_.find("backing");
        if (backing == nullptr) {
            return base::ok();
        }
        if (backing->kind == node::Value::Kind::null || backing->text.empty()) {
            without_backing_ = true;
            tree_.take("backing");
        } else if (knows_backing_) {
            return std::move(refuse_reference(*backing)).error().in("Could not open backing file");
        }
        return base::ok();
    }

    /// The bytes of a protocol as a disk.
    Result<OpenedLayer> open_protocol(const std::string& driver)
    {
        tree_.set("driver", driver);
        auto source = node::open_source(std::move(tree_), how_);
        if (!source) {
            return std::move(source).error();
        }
        node::NodeName name = source.value().name;
        const bool read_only = how_.read_only || source.value().file->read_only();
        auto image = open_alone(*find_format("raw"), std::move(source.value().file));
        if (!image) {
            return std::move(image).error();
        }
        return finish(std::move(image).value(), driver, false, read_only, std::move(name));
    }

    Result<OpenedLayer> open_format(const std::string& driver)
    {
        if (auto done = node::take_common(tree_, how_); !done) {
            return std::move(done).error();
        }
        auto source = open_file(driver);
        if (!source) {
            return std::move(source).error();
        }
        auto format = choose_format(*source.value().file, driver);
        if (!format) {
            return std::move(format).error();
        }
        const bool read_only = how_.read_only || source.value().file->read_only();
        node::NodeName name = name_image(*format.value(), tree_, source.value().name);
        auto image = open_image(*format.value(), std::move(source.value().file), name);
        if (!image) {
            return std::move(image).error();
        }
        return finish(std::move(image).value(), std::string{format.value()->name}, driver.empty(),
                      read_only, std::move(name));
    }

    Result<node::OpenedSource> open_file(const std::string& driver)
    {
        if (const node::Value* file = tree_.find("file")) {
            return refuse_reference(*file).error();
        }
        node::Options file = tree_.take_under("file");
        if (file.empty()) {
            return fail(Errc::invalid_argument,
                        driver.empty() ? "Must specify either driver or file"
                                       : "A block device must be specified for \"file\"");
        }
        return node::open_source(std::move(file), how_);
    }

    Result<std::unique_ptr<Image>> open_image(const FormatDriver& format,
                                              std::unique_ptr<ByteSource> file,
                                              const node::NodeName& name)
    {
        if (knows_backing_ && (!(backing_ = tree_.take_under("backing")).empty()) &&
            !format.has_backing) {
            return fail(Errc::invalid_argument, "Driver doesn't support backing files");
        }
        node::Options data_file;
        if (format.name == "qcow2") {
            data_file = tree_.take_under("data-file");
        }
        auto format_options = take_format_options(tree_, format);
        if (!format_options) {
            return std::move(format_options).error();
        }
        if (auto known = node::refuse_unknown(tree_, format.name, false); !known) {
            return std::move(known).error();
        }
        CreateSettings all = options_.format_options;
        for (auto& setting : format_options.value()) {
            all.push_back(std::move(setting));
        }
        const bool given = !data_file.empty();
        OpenContext context{
            .purpose = purpose_,
            .open_sibling = siblings(format, std::move(data_file), name),
            .sibling_exists = sibling_finder(options_, place_of(format, name.origin.value_or(""))),
            .trust_data_files = options_.backing.trust_data_files,
            .data_file_given = given,
            .secrets = options_.secrets,
            .options = std::move(all),
            .no_io = options_.no_io,
            .identity = options_.identity};
        return format.open(std::move(file), context);
    }

    /// A data file that the user named is that, whatever the image says of it.
    OpenSibling siblings(const FormatDriver& format, node::Options data_file,
                         const node::NodeName& name)
    {
        OpenOptions options = options_;
        options.read_only = how_.read_only;
        options.share = how_.share;
        options.unsafe = how_.unsafe;
        if (data_file.empty()) {
            if (!name.origin) {
                const std::string why =
                    fmt::format("Cannot use relative paths with VMDK descriptor file '{}': {}",
                                name.shown(), name.no_origin);
                return [why](const std::string&) -> Result<std::unique_ptr<ByteSource>> {
                    return fail(Errc::unsupported, why);
                };
            }
            return sibling_opener(options, place_of(format, *name.origin));
        }
        return [options, data_file](const std::string&) -> Result<std::unique_ptr<ByteSource>> {
            const node::How how{options, options.read_only, options.share, options.unsafe,
                                options.node_depth};
            auto opened = node::open_source(data_file, how);
            if (!opened) {
                return std::move(opened).error();
            }
            return std::move(opened.value().file);
        };
    }

    /// blkdebug over an image: the image, with faults.
    Result<OpenedLayer> open_fault_filter()
    {
        if (auto done = node::take_common(tree_, how_); !done) {
            return std::move(done).error();
        }
        auto faults = Faults::take(tree_);
        if (!faults) {
            return std::move(faults).error();
        }
        OpenOptions inner = options_;
        inner.node = std::make_shared<const node::Options>(tree_.take_under("image"));
        inner.format.clear();
        inner.read_only = how_.read_only;
        inner.share = how_.share;
        inner.unsafe = how_.unsafe;
        inner.node_depth = how_.depth + 1;
        if (auto known = node::refuse_unknown(tree_, "blkdebug", true); !known) {
            return std::move(known).error();
        }
        auto opened = open_one(inner, purpose_);
        if (!opened) {
            return opened;
        }
        Layer& layer = opened.value().layer;
        layer.format = "blkdebug";
        layer.image =
            std::make_unique<FaultImage>(std::move(layer.image), std::move(faults).value());
        return opened;
    }

    Result<OpenedLayer> finish(std::unique_ptr<Image> image, std::string format, bool probed,
                               bool read_only, node::NodeName name)
    {
        std::string shown = name.shown();
        auto origin = name.origin;
        return OpenedLayer{
            .layer = {.image = std::move(image),
                      .path = std::move(shown),
                      .format = std::move(format),
                      .probed = probed,
                      .origin = std::move(origin),
                      .node = std::make_shared<const node::NodeName>(std::move(name))},
            .read_only = read_only,
            .backing = std::move(backing_),
            .without_backing = without_backing_};
    }

    const OpenOptions& options_;
    OpenFor purpose_;
    bool knows_backing_;
    node::Options tree_;
    node::How how_;
    node::Options backing_ = {};
    bool without_backing_ = false;
};

} // namespace

Result<const FormatDriver*> choose_format(ByteSource& file, const std::string& asked)
{
    if (!asked.empty()) {
        if (const FormatDriver* format = find_format(asked)) {
            return format;
        }
        return fail(Errc::unsupported, fmt::format("Unknown driver '{}'", asked));
    }
    std::array<u8, kProbeSize> start{};
    if (auto read = read_padded(file, FileOffset{0}, start); !read) {
        return std::move(read).error();
    }
    return &probe_format(start, file.name());
}

namespace {

Result<std::unique_ptr<ByteSource>> open_further(const OpenOptions& options,
                                                 const std::string& path)
{
    auto file = FileSource::open(path, access_of(options.read_only),
                                 options.share ? Locking::off : Locking::on);
    if (!file) {
        return std::move(file).error();
    }
    file.value()->set_unsafe(options.unsafe);
    return std::unique_ptr<ByteSource>{std::move(file).value()};
}

} // namespace

/// Opens files that the user named.
OpenSibling sibling_opener(const OpenOptions& options, std::string origin)
{
    return [options, origin = std::move(origin)](
               const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
        auto path = sibling_path(options.backing, origin, name);
        return path ? open_further(options, path.value())
                    : Result<std::unique_ptr<ByteSource>>{std::move(path).error()};
    };
}

Result<OpenedLayer> open_one(const OpenOptions& options, OpenFor purpose, BackingOptions backing)
{
    return options.node != nullptr ? NodeOpener{options, purpose, backing}.open()
                                   : open_path(options, purpose);
}

} // namespace img
