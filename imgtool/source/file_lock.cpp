#include "imgtool/source/file_lock.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

// One byte of the file stands for each right. A process locks, shared, the byte "used" of each
// right it uses and the byte "denied" of each right it does not let others have.
constexpr off_t kUsedBase = 100;
constexpr off_t kDeniedBase = 200;

struct Right {
    off_t index;
    const char* name; // as in the message
};
constexpr Right kConsistentRead{0, "consistent read"};
constexpr Right kWrite{1, "write"};
constexpr Right kResize{3, "resize"};

struct DirCloser {
    void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

/// Whether the open file `fd` of process `pid` is ours and carries a lock (proc(5), "fdinfo").
bool holds_lock(const std::string& pid, const char* fd, const struct stat& file)
{
    struct stat st = {};
    const std::string link = fmt::format("/proc/{}/fd/{}", pid, fd);
    if (::stat(link.c_str(), &st) != 0 || st.st_dev != file.st_dev || st.st_ino != file.st_ino) {
        return false;
    }
    std::unique_ptr<FILE, int (*)(FILE*)> info{
        std::fopen(fmt::format("/proc/{}/fdinfo/{}", pid, fd).c_str(), "re"), &std::fclose};
    char line[256];
    while (info && std::fgets(line, sizeof line, info.get()) != nullptr) {
        if (std::strncmp(line, "lock:", 5) == 0) {
            return true;
        }
    }
    return false;
}

/// Open-file-description locks have no owner in F_OFD_GETLK; /proc knows who has the file open.
std::string find_holder(int fd)
{
    struct stat file = {};
    const Dir processes{::opendir("/proc")};
    if (::fstat(fd, &file) != 0 || !processes) {
        return {};
    }
    const std::string self = std::to_string(::getpid());
    while (const dirent* process = ::readdir(processes.get())) {
        std::string pid = process->d_name;
        if (pid.find_first_not_of("0123456789") != std::string::npos) {
            continue;
        }
        const Dir files{::opendir(fmt::format("/proc/{}/fd", pid).c_str())};
        while (const dirent* open_file = files ? ::readdir(files.get()) : nullptr) {
            if (pid == self && std::atoi(open_file->d_name) == fd) {
                continue;
            }
            if (open_file->d_name[0] != '.' && holds_lock(pid, open_file->d_name, file)) {
                return pid;
            }
        }
    }
    return {};
}

bool set_lock(int fd, off_t byte)
{
    struct flock lock = {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool locked_by_other(int fd, off_t byte)
{
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

base::Error conflict(int fd, const std::string& path, const char* what)
{
    std::string message =
        fmt::format("Failed to get {} lock\nIs another process using the image [{}]?", what, path);
    if (const std::string holder = find_holder(fd); !holder.empty()) {
        message += fmt::format("\nIt is in use by process {}.", holder);
    }
    return fail(Errc::io, std::move(message));
}

} // namespace

base::Status lock_image(int fd, const std::string& path, bool writable, Locking locking)
{
    if (locking == Locking::off) {
        return base::ok();
    }
    if (!set_lock(fd, kUsedBase + kConsistentRead.index)) {
        // A file system without locks: what cannot be guarded is used as it is.
        return errno == EAGAIN || errno == EACCES
                   ? base::Status{conflict(fd, path, "\"consistent read\"")}
                   : base::ok();
    }
    // Readers let nobody write or resize; writers use both rights and deny them to others too.
    for (const Right& right : {kWrite, kResize}) {
        if ((writable && !set_lock(fd, kUsedBase + right.index)) ||
            !set_lock(fd, kDeniedBase + right.index)) {
            return conflict(fd, path, fmt::format("\"{}\"", right.name).c_str());
        }
    }
    if (locked_by_other(fd, kDeniedBase + kConsistentRead.index)) {
        return conflict(fd, path, "\"consistent read\"");
    }
    for (const Right& right : {kWrite, kResize}) {
        if (writable && locked_by_other(fd, kDeniedBase + right.index)) {
            return conflict(fd, path, fmt::format("\"{}\"", right.name).c_str());
        }
        if (locked_by_other(fd, kUsedBase + right.index)) {
            return conflict(fd, path, fmt::format("shared \"{}\"", right.name).c_str());
        }
    }
    return base::ok();
}

} // namespace img
