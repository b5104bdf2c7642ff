#include "imgtool/source/file_source.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kSector = 512; // bytes

base::Error failed(std::string_view what)
{
    return fail(Errc::io, what.empty() ? std::strerror(errno)
                                       : fmt::format("{}: {}", what, std::strerror(errno)));
}

/// What opening a path gives: the size of a regular file or device, or why it has none.
Result<u64> openable_size(int fd, bool& device)
{
    struct stat st = {};
    if (::fstat(fd, &st) != 0) {
        return failed("");
    }
    device = S_ISBLK(st.st_mode);
    if (device) {
        u64 bytes = 0;
        if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) {
            return failed("");
        }
        return bytes;
    }
    if (S_ISCHR(st.st_mode)) {
        device = true; // such as /dev/null; those that are streams cannot be sought in
        const off_t end = ::lseek(fd, 0, SEEK_END);
        return end < 0 ? Result<u64>{failed("")} : Result<u64>{static_cast<u64>(end)};
    }
    if (!S_ISREG(st.st_mode)) {
        return fail(Errc::io, "not a regular file");
    }
    return static_cast<u64>(st.st_size);
}

} // namespace

FileSource::FileSource(int fd, std::string path, Access access, u64 size, bool device)
    : fd_{fd}, path_{std::move(path)}, access_{access}, size_{size}, device_{device}
{}

FileSource::~FileSource()
{
    ::close(fd_);
}

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& path, Access access,
                                                     Locking locking)
{
    if (path.empty()) {
        return fail(Errc::invalid_argument, "The 'file' block driver requires a file name");
    }
    const bool writable = access == Access::read_write;
    // O_NONBLOCK: a FIFO in place of an image must not hang us. It means nothing to regular files.
    const int fd = ::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return failed(fmt::format("Could not open '{}'", path));
    }
    bool device = false;
    auto size = openable_size(fd, device);
    if (!size) {
        ::close(fd);
        return fail(Errc::io,
                    fmt::format("'file' driver requires '{}' to be a regular file", path));
    }
    std::unique_ptr<FileSource> file{new FileSource{fd, path, access, size.value(), device}};
    if (auto locked = lock_image(fd, path, writable, locking); !locked) {
        return std::move(locked).error();
    }
    return file;
}

Result<std::unique_ptr<FileSource>> FileSource::create(const std::string& path)
{
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd < 0) {
        return failed(fmt::format("Could not create '{}'", path));
    }
    bool device = false;
    auto size = openable_size(fd, device);
    if (!size) {
        ::close(fd);
        return std::move(size).error().in(fmt::format("Could not create '{}'", path));
    }
    std::unique_ptr<FileSource> file{
        new FileSource{fd, path, Access::read_write, size.value(), device}};
    // Only with the lock held may what is there be thrown away.
    if (auto locked = lock_image(fd, path, true, Locking::on); !locked) {
        return std::move(locked).error();
    }
    if (!device) {
        if (auto emptied = file->resize(0); !emptied) {
            return std::move(emptied).error();
        }
    }
    return file;
}

Result<std::unique_ptr<FileSource>> FileSource::temporary(const std::string& folder)
{
    const int fd = folder.empty() ? ::memfd_create("overlay", MFD_CLOEXEC)
                                  : ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return failed("making a temporary file");
    }
    return std::unique_ptr<FileSource>{
        new FileSource{fd, "temporary file", Access::read_write, 0, false}};
}

Status FileSource::read(FileOffset at, std::span<u8> into)
{
    std::size_t done = 0;
    while (done < into.size()) {
        const ssize_t n = ::pread(fd_, into.data() + done, into.size() - done,
                                  static_cast<off_t>(at.bytes + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failed("");
        }
        if (n == 0) {
            return fail(Errc::io, "read past the end of the file");
        }
        done += static_cast<std::size_t>(n);
    }
    return base::ok();
}

Status FileSource::write(FileOffset at, std::span<const u8> from)
{
    set_changed();
    std::size_t done = 0;
    while (done < from.size()) {
        const ssize_t n = ::pwrite(fd_, from.data() + done, from.size() - done,
                                   static_cast<off_t>(at.bytes + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failed("");
        }
        done += static_cast<std::size_t>(n);
        size_ = std::max(size_, at.bytes + done);
    }
    return base::ok();
}

u64 FileSource::copy_by_host(ByteSource& from, FileOffset at, ByteSource& to, FileOffset into,
                             u64 length)
{
    const auto* source = dynamic_cast<const FileSource*>(&from);
    auto* target = dynamic_cast<FileSource*>(&to);
    if (source == nullptr || target == nullptr || source->device_ || target->device_) {
        return 0;
    }
    target->set_changed();
    auto read_at = static_cast<off64_t>(at.bytes);
    auto write_at = static_cast<off64_t>(into.bytes);
    u64 done = 0;
    while (done < length) {
        // copy_file_range(2): file systems that can share blocks (reflinks) do so. What fails here
        // will fail again, and be told, when the bytes are read and written.
        const ssize_t n =
            ::copy_file_range(source->fd_, &read_at, target->fd_, &write_at, length - done, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        done += static_cast<u64>(n);
    }
    if (done != 0) {
        target->size_ = std::max(target->size_, into.bytes + done);
    }
    return done;
}

Status FileSource::zero(FileOffset at, u64 length)
{
    set_changed();
    const u64 end = at.bytes + length;
    if (at.bytes < size_) {
        // Of a device the kernel makes whole blocks zero, by whatever the device does fastest.
        const u64 inside = std::min(length, size_ - at.bytes);
        if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(at.bytes), static_cast<off_t>(inside)) == 0) {
            at.bytes += inside;
            length -= inside;
        }
    }
    if (!device_ && at.bytes >= size_) {
        return end > size_ ? resize(end) : base::ok();
    }
    static constexpr std::size_t kPiece = 64 << 10;
    const std::vector<u8> zeroes(std::min<u64>(length, kPiece));
    while (length != 0) {
        const u64 n = std::min<u64>(length, kPiece);
        if (auto written = write(at, std::span{zeroes}.first(n)); !written) {
            return written;
        }
        at.bytes += n;
        length -= n;
    }
    return base::ok();
}

Status FileSource::resize(u64 size)
{
    set_changed();
    if (device_) {
        return size <= size_ ? base::ok() : Status{fail(Errc::io, "Cannot grow device files")};
    }
    if (size > static_cast<u64>(INT64_MAX)) {
        return fail(Errc::io, "File too large");
    }
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
        return failed("");
    }
    size_ = size;
    return base::ok();
}

Status FileSource::reserve(FileOffset at, u64 length)
{
    if (device_) {
        return at.bytes <= size_ && length <= size_ - at.bytes
                   ? base::ok() // all of it has storage
                   : Status{fail(Errc::io, std::strerror(ENOSPC))};
    }
    set_changed();
    const int error =
        ::posix_fallocate(fd_, static_cast<off_t>(at.bytes), static_cast<off_t>(length));
    if (error != 0) {
        errno = error;
        return failed("");
    }
    size_ = std::max(size_, at.bytes + length);
    return base::ok();
}

Status FileSource::flush()
{
    if (unsafe_ || access_ != Access::read_write || !changed_) {
        return base::ok();
    }
    if (::fdatasync(fd_) != 0) {
        return failed("");
    }
    changed_ = false;
    return base::ok();
}

Result<ByteSource::Run> FileSource::run_at(FileOffset at)
{
    if (at.bytes < known_run_.begin || at.bytes >= known_run_.end) {
        known_run_ = find_run(at.bytes);
    }
    u64 end = known_run_.end;
    if (direct_ && known_run_.data && end == size_) {
        end = (end + kSector - 1) / kSector * kSector;
    }
    return Run{.data = known_run_.data, .length = end - at.bytes};
}

FileSource::KnownRun FileSource::find_run(u64 at) const
{
    const off_t data = ::lseek(fd_, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0) {
        // ENXIO: a hole to the end. Otherwise the host cannot tell, and all counts as data.
        return {.begin = at, .end = size_, .data = errno != ENXIO};
    }
    if (static_cast<u64>(data) > at) {
        return {.begin = at, .end = std::min(size_, static_cast<u64>(data)), .data = false};
    }
    const off_t hole = ::lseek(fd_, static_cast<off_t>(at), SEEK_HOLE);
    const bool known = hole >= 0 && static_cast<u64>(hole) > at;
    return {
        .begin = at, .end = known ? std::min(size_, static_cast<u64>(hole)) : size_, .data = true};
}

void FileSource::avoid_copy_on_write()
{
    int flags = 0;
    if (::ioctl(fd_, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)::ioctl(fd_, FS_IOC_SETFLAGS, &flags); // most file systems know no such thing
    }
}

u64 FileSource::allocated() const
{
    struct stat st = {};
    return ::fstat(fd_, &st) == 0 ? static_cast<u64>(st.st_blocks) * 512 : 0;
}

} // namespace img
