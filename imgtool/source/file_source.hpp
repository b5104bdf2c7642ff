// An image in a host file or block device.
#pragma once

#include "imgtool/source/byte_source.hpp"
#include "imgtool/source/file_lock.hpp"

#include <memory>

namespace img {

class FileSource final : public ByteSource {
public:
    enum class Access { read_only, read_write };

    /// Opens an existing file and takes its lock.
    static Result<std::unique_ptr<FileSource>> open(const std::string& path, Access access,
                                                    Locking locking);
    /// Makes the file, or empties the one that is there once its lock is held.
    static Result<std::unique_ptr<FileSource>> create(const std::string& path);
    /// A file without a name that goes away with this object. Empty `folder`: in memory.
    static Result<std::unique_ptr<FileSource>> temporary(const std::string& folder);

    ~FileSource() override;
    FileSource(const FileSource&) = delete;
    FileSource& operator=(const FileSource&) = delete;

    const std::string& name() const override { return path_; }
    u64 size() const override { return size_; }
    bool read_only() const override { return access_ == Access::read_only; }
    bool concurrent() const override { return true; }
    bool fixed_size() const override { return device_; }
    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override;
    Result<Run> run_at(FileOffset at) override;
    u64 allocated() const override;

    /// Has the host copy bytes from one file to another, which shares their blocks where its file
    /// system can. Says how many it copied: none where it cannot, or where one is no host file.
    static u64 copy_by_host(ByteSource& from, FileOffset at, ByteSource& to, FileOffset into,
                            u64 length);

    /// Asks the host's file system (Btrfs) to write a new, empty file in place.
    void avoid_copy_on_write();

    /// The open file; for copy_file_range and the like.
    int descriptor() const { return fd_; }
    /// When set, flush() does not wait for the disk (cache mode "unsafe").
    void set_unsafe(bool unsafe) { unsafe_ = unsafe; }
    /// When set, run_at() counts what is missing of the last sector to the data before it, as
    /// QEMU does without the host's cache. (We always use that.)
    void set_direct(bool direct) { direct_ = direct; }

private:
    FileSource(int fd, std::string path, Access access, u64 size, bool device);

    int fd_;
    std::string path_;
    Access access_;
    u64 size_; // bytes; only this object changes it
    bool device_;
    bool unsafe_ = false;
    bool direct_ = false;

    // What run_at() last learnt; some file systems walk all pages of a run to find its end.
    struct KnownRun {
        u64 begin = 0, end = 0; // bytes; empty: nothing is known
        bool data = false;
    };
    KnownRun find_run(u64 at) const;
    KnownRun known_run_;

    void set_changed()
    {
        known_run_ = {};
        changed_ = true;
    }
    /// Whether the disk may lack something; at first what other programs wrote.
    bool changed_ = true;
};

} // namespace img
