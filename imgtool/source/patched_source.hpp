// A file that may only be read, with changes that are kept in memory: what a journal says that has
// not been carried out.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <map>
#include <memory>
#include <vector>

namespace img {

class PatchedSource final : public ByteSource {
public:
    /// More than `limit` bytes of changes are refused (zeroes take none).
    PatchedSource(std::unique_ptr<ByteSource> file, u64 limit)
        : file_{std::move(file)}, limit_{limit}, size_{file_->size()}
    {}

    const std::string& name() const override { return file_->name(); }
    u64 size() const override { return size_; }
    /// The file is; changes can be made all the same.
    bool read_only() const override { return true; }
    bool concurrent() const override { return file_->concurrent(); }
    u64 allocated() const override { return file_->allocated(); }
    void announce(DebugEvent event) override { file_->announce(event); }

    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override { return base::ok(); }
    Result<Run> run_at(FileOffset at) override;

private:
    /// A changed range, by where it begins.
    struct Patch {
        u64 end;               // bytes
        std::vector<u8> bytes; // empty: zeroes
    };
    using Patches = std::map<u64, Patch>;

    Status put(u64 at, Patch patch);
    void clear(u64 begin, u64 end);
    void split_at(u64 at);
    Status read_file(u64 at, std::span<u8> into);

    std::unique_ptr<ByteSource> file_;
    Patches patches_; // do not overlap
    u64 limit_;       // bytes
    u64 kept_ = 0;    // bytes of all patches
    u64 size_;        // bytes
};

} // namespace img
