// A disk as the bytes of something else: for a format inside another.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/source/byte_source.hpp"

#include <memory>

namespace img {

class DiskSource final : public ByteSource {
public:
    explicit DiskSource(std::unique_ptr<ChainDisk> disk) : disk_{std::move(disk)} {}

    const std::string& name() const override { return disk_->layers().front().path; }
    u64 size() const override { return disk_->size(); }
    bool read_only() const override { return disk_->read_only(); }
    bool fixed_size() const override;
    Status read(FileOffset at, std::span<u8> into) override { return disk_->read(at.bytes, into); }
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override { return disk_->flush(); }
    Result<Run> run_at(FileOffset at) override;
    u64 allocated() const override;

private:
    Status grow_to(FileOffset at, u64 length);

    std::unique_ptr<ChainDisk> disk_;
};

} // namespace img
