// Opening a chain of images.
#include "imgtool/open.hpp"

#include "imgtool/formats/all.hpp"
#include "imgtool/source/file_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kMaxDepth = 200; // images in a chain

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

Status check_gate(const BackingPolicy& policy, const Layer& above, const std::string& path)
{
    if (policy.allow && !policy.allow(path)) {
        return fail(Errc::invalid_argument,
                    fmt::format("backing file '{}' is not among the files allowed", path));
    }
    if (above.probed && above.format != "raw" && !policy.trust_probed) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' was found to be {} without its format being declared, so "
                                "its backing file '{}' is not opened",
                                above.path, above.format, path));
    }
    return base::ok();
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

namespace {

Result<std::unique_ptr<ByteSource>> open_further(const OpenOptions& options,
                                                 const std::string& path)
{
    auto file = FileSource::open(
        path, options.read_only ? FileSource::Access::read_only : FileSource::Access::read_write,
        options.share ? Locking::off : Locking::on);
    if (!file) {
        return std::move(file).error();
    }
    file.value()->set_unsafe(options.unsafe);
    return std::unique_ptr<ByteSource>{std::move(file).value()};
}

/// Opens files that the image at `path` names, where the caller's policy lets it.
OpenSibling sibling_opener(const OpenOptions& options)
{
    return [options](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
        auto path = resolve_backing(options.path, name);
        if (!path) {
            return std::move(path).error();
        }
        if (options.backing.allow && !options.backing.allow(path.value())) {
            return fail(Errc::invalid_argument,
                        fmt::format("file '{}' is not among the files allowed", path.value()));
        }
        return open_further(options, path.value());
    };
}

/// Opens files that the user named.
OpenSibling named_opener(const OpenOptions& options)
{
    return [options](const std::string& path) { return open_further(options, path); };
}

} // namespace

Result<Layer> open_layer(const OpenOptions& options, OpenFor purpose)
{
    auto file = FileSource::open(options.path,
                                 options.read_only ? FileSource::Access::read_only
                                                   : FileSource::Access::read_write,
                                 options.share ? Locking::off : Locking::on);
    if (!file) {
        return std::move(file).error();
    }
    file.value()->set_unsafe(options.unsafe);
    auto format = choose_format(*file.value(), options.format);
    if (!format) {
        return std::move(format).error();
    }
    OpenContext context{.purpose = purpose,
                        .open_sibling = sibling_opener(options),
                        .trust_data_files = options.backing.trust_data_files,
                        .open_named = named_opener(options),
                        .secrets = options.secrets,
                        .options = options.format_options,
                        .no_io = options.no_io};
    auto image = format.value()->open(std::move(file).value(), context);
    if (!image) {
        return std::move(image).error();
    }
    return Layer{.image = std::move(image).value(),
                 .path = options.path,
                 .format = std::string{format.value()->name},
                 .probed = options.format.empty()};
}

Result<std::string> resolve_backing(const std::string& path, const std::string& name)
{
    // As QEMU takes it: a colon before the first slash ends a protocol's name.
    const std::size_t colon = name.find(':');
    const bool has_protocol = colon != std::string::npos && colon < name.find('/');
    if (has_protocol && !name.starts_with("file:")) {
        return fail(Errc::unsupported,
                    fmt::format("backing file name '{}' is not a plain file name", name));
    }
    const std::string plain = has_protocol ? name.substr(5) : name;
    const std::size_t slash = path.rfind('/');
    if (plain.starts_with('/') || slash == std::string::npos) {
        return plain;
    }
    return path.substr(0, slash + 1) + plain;
}

Result<std::unique_ptr<ChainDisk>> open_chain(const OpenOptions& options)
{
    std::vector<Layer> layers;
    std::vector<FileId> seen;
    OpenOptions next = options;
    while (true) {
        auto id = identify(next.path);
        if (!id) {
            return layers.empty() ? std::move(id).error()
                                  : std::move(id).error().in("Could not open backing file");
        }
        if (std::ranges::find(seen, id.value()) != seen.end()) {
            return fail(Errc::corrupt,
                        fmt::format("Backing file '{}' creates an infinite loop.", next.path));
        }
        if (seen.size() == kMaxDepth) {
            return fail(Errc::unsupported,
                        fmt::format("more than {} images in the backing chain", kMaxDepth));
        }
        seen.push_back(id.value());
        auto layer = open_layer(next, OpenFor::use);
        if (!layer) {
            return layers.empty() ? std::move(layer).error()
                                  : std::move(layer).error().in("Could not open backing file");
        }
        // What the caller named is trusted to be what it is; only what images name is not.
        const bool is_top = layers.empty();
        layers.push_back(std::move(layer).value());
        const ImageInfo info = layers.back().image->info();
        if (info.backing_name.empty()) {
            break;
        }
        auto path = resolve_backing(next.path, info.backing_name);
        if (!path) {
            return std::move(path).error();
        }
        BackingPolicy policy = options.backing;
        policy.trust_probed |= is_top;
        if (auto allowed = check_gate(policy, layers.back(), path.value()); !allowed) {
            return std::move(allowed).error();
        }
        next.path = path.value();
        next.format = info.backing_format;
        next.read_only = true;
        next.format_options.clear(); // they are the top image's
        // What was only guessed to be an image of this kind may be what a guest wrote.
        next.backing.trust_data_files =
            options.backing.trust_data_files &&
            (!info.backing_format.empty() || options.backing.trust_probed);
    }
    return std::make_unique<ChainDisk>(std::move(layers), options.read_only);
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
