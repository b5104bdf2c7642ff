// What can only be read and written in whole blocks, as a file that knows no blocks.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace img {

class AlignedSource final : public ByteSource {
public:
    /// `block` bytes, a power of two, of which the size of `below` is a multiple.
    AlignedSource(std::unique_ptr<ByteSource> below, u64 block)
        : below_{std::move(below)}, block_{block}, buffer_(block)
    {}

    const std::string& name() const override { return below_->name(); }
    u64 size() const override { return below_->size(); }
    bool read_only() const override { return below_->read_only(); }
    bool fixed_size() const override { return below_->fixed_size(); }
    Status read(FileOffset at, std::span<u8> into) override;
    /// Blocks that are written in part are read first.
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override { return below_->resize(size); }
    Status reserve(FileOffset at, u64 length) override { return below_->reserve(at, length); }
    Status flush() override { return below_->flush(); }
    Result<Run> run_at(FileOffset at) override;
    void announce(DebugEvent event) override { below_->announce(event); }
    u64 allocated() const override { return below_->allocated(); }

private:
    Status check_range(FileOffset at, u64 length) const;
    /// Calls `part` for what is in a block that is not all in the range, with that block read to
    /// `buffer_`, and `whole` for blocks that are.
    using Part = std::function<Status(FileOffset block, u64 within, u64 done, u64 length)>;
    using Whole = std::function<Status(FileOffset at, u64 done, u64 length)>;
    Status each(FileOffset at, u64 length, const Part& part, const Whole& whole);

    std::unique_ptr<ByteSource> below_;
    u64 block_; // bytes
    std::vector<u8> buffer_;
};

} // namespace img
