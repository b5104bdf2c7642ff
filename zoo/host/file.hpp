// Files of the host: owned descriptors, whole-file reads, locks. Errors name the path and the
// reason.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace zoo {

/// Takes a stream piece by piece; an error stops the producer and becomes its result.
using Sink = std::function<base::Status(std::span<const base::u8>)>;

/// "path: what the system says", from errno.
base::Error system_error(const std::filesystem::path& path);

/// An owned file descriptor.
class FileHandle {
public:
    FileHandle() = default;
    explicit FileHandle(int descriptor) : descriptor_{descriptor} {}
    ~FileHandle();
    FileHandle(FileHandle&& other) noexcept;
    FileHandle& operator=(FileHandle&& other) noexcept;

    /// `flags` are those of open(2); the descriptor is close-on-exec.
    static base::Result<FileHandle> open(const std::filesystem::path& path, int flags,
                                         unsigned mode = 0644);

    int get() const { return descriptor_; }
    explicit operator bool() const { return descriptor_ >= 0; }

private:
    int descriptor_ = -1;
};

/// An exclusive lock on a file (flock), released when destroyed or when the process dies.
class FileLock {
public:
    /// Waits for the lock; calls `on_wait` once when another process holds it.
    static base::Result<FileLock> wait(const std::filesystem::path& path,
                                       const std::function<void()>& on_wait);
    /// Fails with `invalid_argument` when another process holds it.
    static base::Result<FileLock> attempt(const std::filesystem::path& path);

private:
    explicit FileLock(FileHandle handle) : handle_{std::move(handle)} {}
    FileHandle handle_;
};

/// Feeds the whole file to the sink, in pieces.
base::Status read_file(const std::filesystem::path& path, const Sink& sink);

/// The whole file; refused when larger than `max_size` bytes.
base::Result<std::string> read_text(const std::filesystem::path& path, base::u64 max_size);

/// Replaces the file in one step (temporary file, fsync, rename).
base::Status write_text(const std::filesystem::path& path, std::string_view text);

/// Creates the folder and its parents.
base::Status make_folder(const std::filesystem::path& path);

/// Writes all the bytes at the offset.
base::Status write_at(const FileHandle& file, const std::filesystem::path& path, base::u64 offset,
                      std::span<const base::u8> bytes);

/// fsync of a file or folder.
base::Status sync_path(const std::filesystem::path& path);

} // namespace zoo
