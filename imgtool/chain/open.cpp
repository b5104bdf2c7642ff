// Opening a chain of images.
#include "imgtool/open.hpp"

#include "imgtool/chain/layer.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kMaxDepth = 200; // images in a chain

/// What tells one host file from another, whatever it is called.
struct FileId {
    dev_t device;
    ino_t inode;
    bool operator==(const FileId&) const = default;
};

Result<FileId> identify(const std::string& path)
{
    struct stat st = {};
    if (::stat(path.c_str(), &st) != 0) {
        return fail(Errc::io, fmt::format("Could not open '{}': {}", path, std::strerror(errno)));
    }
    return FileId{st.st_dev, st.st_ino};
}

} // namespace

std::function<bool(const std::string& path)> only_inside(std::vector<std::string> folders)
{
    return [folders = std::move(folders)](const std::string& path) {
        std::error_code error;
        const auto real = std::filesystem::canonical(path, error);
        if (error) {
            return false;
        }
        return std::ranges::any_of(folders, [&real](const std::string& folder) {
            std::error_code ignored;
            const auto inside = std::filesystem::canonical(folder, ignored);
            return !ignored &&
                   std::mismatch(inside.begin(), inside.end(), real.begin(), real.end()).first ==
                       inside.end();
        });
    };
}

Result<Layer> open_layer(const OpenOptions& options, OpenFor purpose)
{
    auto opened =
        open_one(options, purpose, options.no_io ? BackingOptions::unknown : BackingOptions::known);
    if (!opened) {
        return std::move(opened).error();
    }
    return std::move(opened.value().layer);
}

Result<std::string> resolve_backing(const std::string& path, const std::string& name)
{
    const std::string joined = node::join_name(path, name).value_or(name);
    if (node::has_protocol(joined) && !joined.starts_with("file:")) {
        return fail(Errc::unsupported,
                    fmt::format("backing file name '{}' is not a plain file name", name));
    }
    return node::plain_path(joined);
}

namespace {

/// Whether an image may have its backing file opened: under which name, by which rules.
Status check_gate(const BackingPolicy& policy, const Layer& above, const std::string& name,
                  bool is_top)
{
    // What the caller named is trusted to be what it is; only what images name is not.
    const bool guessed = above.probed && above.format != "raw" && !is_top;
    const bool plain = !node::has_protocol(name) || name.starts_with("file:");
    if (!plain && (!policy.nodes || guessed)) {
        return fail(Errc::unsupported,
                    fmt::format("backing file name '{}' is not a plain file name", name));
    }
    if (plain && policy.allow && !policy.allow(name.starts_with("file:") ? name.substr(5) : name)) {
        return fail(Errc::invalid_argument,
                    fmt::format("backing file '{}' is not among the files allowed", name));
    }
    if (guessed && !policy.trust_probed) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' was found to be {} without its format being declared, so "
                                "its backing file '{}' is not opened",
                                above.path, above.format, name));
    }
    return base::ok();
}

/// Sets `next` to the backing file of `above`, which `options` opened; false when there is none.
Result<bool> go_to_backing(const OpenedLayer& above, const OpenOptions& options, bool is_top,
                           OpenOptions& next)
{
    const ImageInfo info = above.layer.image->info();
    if (above.without_backing || (info.backing_name.empty() && above.backing.empty())) {
        return false;
    }
    next.read_only = true;
    next.format.clear();
    next.format_options.clear();
    next.node = nullptr;
    // What was only guessed to be an image of some kind may be what a guest wrote.
    next.backing.trust_data_files = options.backing.trust_data_files &&
                                    (!info.backing_format.empty() || options.backing.trust_probed);
    const bool other_file =
        above.backing.has("file") || !node::Options{above.backing}.take_under("file").empty();
    if (!other_file && !info.backing_name.empty()) {
        auto name = node::join_name(above.layer.origin, info.backing_name);
        if (!name) {
            return fail(Errc::unsupported, above.layer.node->no_origin);
        }
        if (auto allowed = check_gate(options.backing, above.layer, *name, is_top); !allowed) {
            return std::move(allowed).error();
        }
        if (auto used = node::use_name(next, *name); !used) {
            return std::move(used).error();
        }
    }
    if (!above.backing.empty()) {
        node::Options merged = above.backing;
        if (next.node != nullptr) {
            merged.add_missing(*next.node);
        } else if (!other_file) {
            merged.set("file.driver", std::string{"file"});
            merged.set("file.filename", next.path);
        }
        next.node = std::make_shared<const node::Options>(std::move(merged));
    }
    if (next.node == nullptr || !next.node->has("driver")) {
        next.format = info.backing_format;
    }
    // What was only guessed to be an image of some kind may be what a guest wrote.
    next.backing.trust_data_files = options.backing.trust_data_files &&
                                    (!info.backing_format.empty() || options.backing.trust_probed);
    return true;
}

/// Finds images that are in a chain already. What is not in a file is bounded by kMaxDepth alone.
class LoopGuard {
public:
    Status enter(const OpenOptions& next, std::size_t depth)
    {
        if (depth == kMaxDepth) {
            return fail(Errc::unsupported,
                        fmt::format("more than {} images in the backing chain", kMaxDepth));
        }
        return next.node == nullptr ? enter_file(next.path) : base::ok();
    }

    /// For nodes, it shows only when they are open which file they are in.
    Status opened(const OpenOptions& options, const Layer& layer)
    {
        const bool in_file =
            options.node != nullptr && layer.origin && !node::has_protocol(*layer.origin);
        return in_file ? enter_file(*layer.origin) : base::ok();
    }

private:
    Status enter_file(const std::string& path)
    {
        auto id = identify(path);
        if (!id) {
            return std::move(id).error();
        }
        if (std::ranges::find(seen_, id.value()) != seen_.end()) {
            return fail(Errc::corrupt,
                        fmt::format("Backing file '{}' creates an infinite loop.", path));
        }
        seen_.push_back(id.value());
        return base::ok();
    }

    std::vector<FileId> seen_;
};

} // namespace

Result<std::unique_ptr<ChainDisk>> open_chain(const OpenOptions& options, OpenFor purpose)
{
    std::vector<Layer> layers;
    LoopGuard guard;
    OpenOptions next = options;
    bool read_only = options.read_only;
    while (true) {
        const bool is_top = layers.empty();
        const auto in_context = [is_top](base::Error error) {
            return is_top || error.code == Errc::corrupt
                       ? std::move(error)
                       : std::move(error).in("Could not open backing file");
        };
        if (auto entered = guard.enter(next, layers.size()); !entered) {
            return in_context(std::move(entered).error());
        }
        auto opened = open_one(next, purpose);
        if (!opened) {
            return is_top ? std::move(opened).error()
                          : std::move(opened).error().in("Could not open backing file");
        }
        if (auto entered = guard.opened(next, opened.value().layer); !entered) {
            return in_context(std::move(entered).error());
        }
        read_only = is_top ? opened.value().read_only : read_only;
        auto more = go_to_backing(opened.value(), options, is_top, next);
        if (!more) {
            return std::move(more).error();
        }
        layers.push_back(std::move(opened.value().layer));
        if (!more.value()) {
            break;
        }
    }
    return std::make_unique<ChainDisk>(std::move(layers), read_only);
}

Result<std::unique_ptr<Disk>> open_disk(const OpenOptions& options)
{
    auto chain = open_chain(options);
    if (!chain) {
        return std::move(chain).error();
    }
    return std::unique_ptr<Disk>{std::move(chain).value()};
}

} // namespace img
