#include "imgtool/fs/extract.hpp"

#include "imgtool/zero_scan.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kPiece = u64{256} << 10; // bytes
constexpr int kMaxDepth = 200;         // folders in folders; each takes a file descriptor

base::Error host_error(const std::string& path)
{
    return fail(Errc::io, path + ": " + std::strerror(errno));
}

/// A file descriptor that is closed with its owner.
class Descriptor {
public:
    explicit Descriptor(int fd) : fd_{fd} {}
    Descriptor(Descriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor()
    {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    int get() const { return fd_; }
    bool good() const { return fd_ >= 0; }

private:
    int fd_;
};

class Extraction {
public:
    Extraction(FileSystem& file_system, const ExtractOptions& options)
        : file_system_{file_system}, options_{options}
    {}

    /// `name` in the open folder `parent`; `path` is for messages.
    Status make(int parent, const std::string& name, const std::string& path, const Node& node,
                int depth)
    {
        switch (node.kind) {
        case Kind::file:
            return make_file(parent, name, path, node);
        case Kind::folder:
            return make_folder(parent, name, path, node, depth);
        case Kind::link:
            return make_link(parent, name, path, node);
        case Kind::special:
            options_.skipped(path, "it is a device, a pipe or a socket");
            return base::ok();
        }
        return base::ok();
    }

private:
    Status make_file(int parent, const std::string& name, const std::string& path,
                     const Node& node);
    Status fill(const Node& node, int fd, const std::string& path);
    Status make_folder(int parent, const std::string& name, const std::string& path,
                       const Node& node, int depth);
    Status make_link(int parent, const std::string& name, const std::string& path,
                     const Node& node);
    void finish(int fd, const Node& node);
    Status cannot_make(const std::string& path);

    FileSystem& file_system_;
    const ExtractOptions& options_;
    std::set<u64> folders_; // that were made: a damaged file system may have loops
};

/// What cannot be kept, on a host without such times or modes, is not.
void Extraction::finish(int fd, const Node& node)
{
    (void)!::fchmod(fd, node.mode & 0777);
    if (node.modified) {
        const timespec time{.tv_sec = *node.modified, .tv_nsec = 0};
        const timespec both[2]{time, time};
        (void)!::futimens(fd, both);
    }
}

/// Something else that is there is left as it is, and the others go on.
Status Extraction::cannot_make(const std::string& path)
{
    if (errno != EEXIST) {
        return host_error(path);
    }
    options_.skipped(path, std::strerror(EEXIST));
    return base::ok();
}

Status Extraction::fill(const Node& node, int fd, const std::string& path)
{
    auto done = read_file(file_system_, node, [&](u64 offset, std::span<const u8> bytes) -> Status {
        const u64 length = bytes.size();
        while (!bytes.empty() && !is_zero(bytes)) {
            const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0 && errno != EINTR) {
                return host_error(path);
            }
            const auto written = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
            bytes = bytes.subspan(written);
            offset += written;
        }
        if (options_.progress && !options_.progress(length)) {
            return fail(Errc::invalid_argument, "interrupted");
        }
        return base::ok();
    });
    if (done && ::ftruncate(fd, static_cast<off_t>(node.size)) != 0) {
        return host_error(path);
    }
    return done;
}

Status Extraction::make_file(int parent, const std::string& name, const std::string& path,
                             const Node& node)
{
    if (!node.refusal.empty()) {
        options_.skipped(path, node.refusal);
        return base::ok();
    }
    const Descriptor file{
        ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (!file.good()) {
        return cannot_make(path);
    }
    auto done = fill(node, file.get(), path);
    if (done) {
        finish(file.get(), node);
        return done;
    }
    ::unlinkat(parent, name.c_str(), 0);      // half a file must not be taken for a whole one
    if (done.error().code == Errc::corrupt) { // the others can still be had
        options_.skipped(path, done.error().message);
        return base::ok();
    }
    return done;
}

Status Extraction::make_folder(int parent, const std::string& name, const std::string& path,
                               const Node& node, int depth)
{
    if (depth > kMaxDepth || !folders_.insert(node.id).second) {
        options_.skipped(path, depth > kMaxDepth ? "it is too deep"
                                                 : "the folder is in more than one place");
        return base::ok();
    }
    auto entries = file_system_.list(node);
    if (!entries) {
        if (depth == 0) {
            return std::move(entries).error();
        }
        options_.skipped(path, entries.error().message);
        return base::ok();
    }
    const bool made = ::mkdirat(parent, name.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) {
        return host_error(path);
    }
    const Descriptor folder{
        ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!folder.good()) {
        errno = made ? errno : EEXIST; // it is no folder
        return cannot_make(path);
    }
    std::set<std::string> names;
    for (const Entry& entry : entries.value()) {
        const std::string below = path + "/" + entry.name;
        if (!is_safe_name(entry.name)) {
            options_.skipped(below, "its name cannot be used");
        } else if (!names.insert(entry.name).second) {
            options_.skipped(below, "its name is there twice");
        } else if (auto done = make(folder.get(), entry.name, below, entry.node, depth + 1);
                   !done) {
            return done;
        }
    }
    if (made) {
        finish(folder.get(), node);
    }
    return base::ok();
}

Status Extraction::make_link(int parent, const std::string& name, const std::string& path,
                             const Node& node)
{
    auto target = file_system_.target(node);
    if (!target || target.value().empty() || target.value().find('\0') != std::string::npos) {
        options_.skipped(path, "the link is damaged");
        return base::ok();
    }
    return ::symlinkat(target.value().c_str(), parent, name.c_str()) == 0 ? base::ok()
                                                                          : cannot_make(path);
}

} // namespace

Status extract(FileSystem& file_system, const Node& node, const std::string& target,
               const ExtractOptions& options)
{
    // All but the top goes by open folders and plain names, so that nothing can lead elsewhere.
    std::string shown = target;
    if (shown.ends_with("/.")) {
        shown.resize(shown.size() - 2);
    }
    return Extraction{file_system, options}.make(AT_FDCWD, target, shown, node, 0);
}

Status read_file(FileSystem& file_system, const Node& file,
                 const std::function<Status(u64 offset, std::span<const u8> bytes)>& take)
{
    if (!file.refusal.empty()) {
        return fail(Errc::unsupported, file.refusal);
    }
    std::vector<u8> bytes(std::min(file.size, kPiece));
    for (u64 at = 0; at < file.size;) {
        const auto piece = std::span{bytes}.first(std::min(file.size - at, kPiece));
        auto done = file_system.read(file, at, piece);
        if (done) {
            done = take(at, piece);
        }
        if (!done) {
            return done;
        }
        at += piece.size();
    }
    return base::ok();
}

} // namespace img::fs
