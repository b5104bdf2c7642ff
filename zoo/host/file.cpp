#include "zoo/host/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace zoo {

using base::Errc;
using base::Result;
using base::Status;
using base::u64;
using base::u8;

namespace {

constexpr std::size_t kPieceSize = 256 * 1024;

} // namespace

base::Error system_error(const std::filesystem::path& path)
{
    const int code = errno;
    return base::fail(Errc::io, path.string() + ": " + std::strerror(code));
}

FileHandle::~FileHandle()
{
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

FileHandle::FileHandle(FileHandle&& other) noexcept
    : descriptor_{std::exchange(other.descriptor_, -1)}
{}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept
{
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

Result<FileHandle> FileHandle::open(const std::filesystem::path& path, int flags, unsigned mode)
{
    FileHandle handle{::open(path.c_str(), flags | O_CLOEXEC, mode)};
    if (!handle) {
        return system_error(path);
    }
    return handle;
}

Result<FileLock> FileLock::wait(const std::filesystem::path& path,
                                const std::function<void()>& on_wait)
{
    auto handle = FileHandle::open(path, O_RDWR | O_CREAT);
    if (!handle) {
        return std::move(handle).error();
    }
    if (::flock(handle.value().get(), LOCK_EX | LOCK_NB) != 0) {
        on_wait();
        while (::flock(handle.value().get(), LOCK_EX) != 0) {
            if (errno != EINTR) {
                return system_error(path);
            }
        }
    }
    return FileLock{std::move(handle).value()};
}

Result<FileLock> FileLock::attempt(const std::filesystem::path& path)
{
    auto handle = FileHandle::open(path, O_RDWR | O_CREAT);
    if (!handle) {
        return std::move(handle).error();
    }
    if (::flock(handle.value().get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return base::fail(Errc::invalid_argument, path.string() + ": in use");
        }
        return system_error(path);
    }
    return FileLock{std::move(handle).value()};
}

Status read_file(const std::filesystem::path& path, const Sink& sink)
{
    auto file = FileHandle::open(path, O_RDONLY);
    if (!file) {
        return std::move(file).error();
    }
    std::vector<u8> piece(kPieceSize);
    while (true) {
        const ssize_t got = ::read(file.value().get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return system_error(path);
        }
        if (got == 0) {
            return base::ok();
        }
        auto taken = sink({piece.data(), static_cast<std::size_t>(got)});
        if (!taken) {
            return taken;
        }
    }
}

Result<std::string> read_text(const std::filesystem::path& path, u64 max_size)
{
    std::string text;
    auto read = read_file(path, [&](std::span<const u8> bytes) -> Status {
        if (text.size() + bytes.size() > max_size) {
            return base::fail(Errc::corrupt, path.string() + ": larger than " +
                                                 std::to_string(max_size) + " bytes");
        }
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return base::ok();
    });
    if (!read) {
        return std::move(read).error();
    }
    return text;
}

Status write_at(const FileHandle& file, const std::filesystem::path& path, u64 offset,
                std::span<const u8> bytes)
{
    while (!bytes.empty()) {
        const ssize_t put =
            ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return system_error(path);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(put));
        offset += static_cast<u64>(put);
    }
    return base::ok();
}

Status write_text(const std::filesystem::path& path, std::string_view text)
{
    std::filesystem::path temporary = path;
    temporary += ".new-" + std::to_string(::getpid());
    {
        auto file = FileHandle::open(temporary, O_WRONLY | O_CREAT | O_TRUNC);
        if (!file) {
            return std::move(file).error();
        }
        auto written = write_at(file.value(), temporary, 0,
                                {reinterpret_cast<const u8*>(text.data()), text.size()});
        if (!written) {
            ::unlink(temporary.c_str());
            return written;
        }
        if (::fsync(file.value().get()) != 0) {
            return system_error(temporary);
        }
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        return system_error(path);
    }
    return base::ok();
}

Status make_folder(const std::filesystem::path& path)
{
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        return base::fail(Errc::io, path.string() + ": " + error.message());
    }
    return base::ok();
}

Status sync_path(const std::filesystem::path& path)
{
    auto file = FileHandle::open(path, O_RDONLY);
    if (!file) {
        return std::move(file).error();
    }
    if (::fsync(file.value().get()) != 0) {
        return system_error(path);
    }
    return base::ok();
}

} // namespace zoo
