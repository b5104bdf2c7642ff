// A file that is being received: hashed as it grows, kept when interrupted, never visible as an
// object.
#pragma once

#include "zoo/host/file.hpp"
#include "zoo/store/digest.hpp"

namespace zoo {

enum class OpenPartial { resume, fresh };

/// Written in ascending order only. Runs of zeros become holes, so a mostly empty disk image takes
/// only the room of its contents.
class PartialFile {
public:
    /// With `resume`, bytes of an earlier attempt are kept (and hashed again).
    static base::Result<PartialFile> open(std::filesystem::path path, OpenPartial how);

    base::u64 size() const { return size_; }
    const std::filesystem::path& path() const { return path_; }

    base::Status append(std::span<const base::u8> bytes);

    /// Forgets the bytes beyond the first `length`.
    base::Status keep_first(base::u64 length);

    /// Forgets all bytes received.
    base::Status restart();

    /// SHA-256 of all bytes; makes the length final on disk and flushes. Call once, at the end.
    base::Result<std::string> finish();

    /// Beside the file: a note of where its bytes come from, for resuming.
    std::filesystem::path origin_path() const;

    /// Removes the file and its note.
    void discard();

private:
    PartialFile(std::filesystem::path path, FileHandle file)
        : path_{std::move(path)}, file_{std::move(file)}
    {}
    base::Status rehash();

    std::filesystem::path path_;
    FileHandle file_;
    Sha256 hash_;
    base::u64 size_ = 0;
};

} // namespace zoo
