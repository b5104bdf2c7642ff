// An image file in memory, for tests and fuzzing.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <algorithm>
#include <memory>
#include <vector>

namespace img {

class MemorySource final : public ByteSource {
public:
    /// Writes beyond `limit` bytes fail, so that a test can play a full disk.
    explicit MemorySource(std::vector<u8> bytes = {}, u64 limit = u64{1} << 28)
        : bytes_{std::make_shared<std::vector<u8>>(std::move(bytes))}, limit_{limit}
    {}
    /// Shares the bytes with whoever else has the pointer.
    explicit MemorySource(std::shared_ptr<std::vector<u8>> bytes, u64 limit = u64{1} << 28)
        : bytes_{std::move(bytes)}, limit_{limit}
    {}

    const std::string& name() const override { return name_; }
    u64 size() const override { return bytes_->size(); }
    bool read_only() const override { return read_only_; }
    void set_read_only() { read_only_ = true; }
    u64 allocated() const override { return bytes_->size(); }
    Status flush() override { return base::ok(); }

    Status read(FileOffset at, std::span<u8> into) override
    {
        if (at.bytes > bytes_->size() || into.size() > bytes_->size() - at.bytes) {
            return base::fail(base::Errc::io, "read past the end of the file");
        }
        std::copy_n(bytes_->begin() + static_cast<std::ptrdiff_t>(at.bytes), into.size(),
                    into.begin());
        return base::ok();
    }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        if (auto grown = grow_to(at.bytes, from.size()); !grown) {
            return grown;
        }
        std::copy(from.begin(), from.end(),
                  bytes_->begin() + static_cast<std::ptrdiff_t>(at.bytes));
        return base::ok();
    }
    Status zero(FileOffset at, u64 length) override
    {
        if (auto grown = grow_to(at.bytes, length); !grown) {
            return grown;
        }
        std::fill_n(bytes_->begin() + static_cast<std::ptrdiff_t>(at.bytes), length, u8{0});
        return base::ok();
    }
    Status reserve(FileOffset at, u64 length) override { return grow_to(at.bytes, length); }
    Status resize(u64 size) override
    {
        if (size > limit_) {
            return base::fail(base::Errc::io, "No space left on device");
        }
        bytes_->resize(size);
        return base::ok();
    }
    Result<Run> run_at(FileOffset at) override
    {
        return Run{.data = true, .length = bytes_->size() - at.bytes};
    }

private:
    Status grow_to(u64 at, u64 length)
    {
        if (at > limit_ || length > limit_ - at) {
            return base::fail(base::Errc::io, "No space left on device");
        }
        if (bytes_->size() < at + length) {
            bytes_->resize(at + length);
        }
        return base::ok();
    }

    std::shared_ptr<std::vector<u8>> bytes_;
    u64 limit_; // bytes
    bool read_only_ = false;
    std::string name_ = "memory";
};

} // namespace img
