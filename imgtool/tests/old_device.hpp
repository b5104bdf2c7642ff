// A device in memory, full of old bytes: it can neither grow nor shrink.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <algorithm>
#include <memory>
#include <vector>

namespace img::test {

class OldDevice final : public ByteSource {
public:
    static constexpr u8 kOld = 0xa5; // what is everywhere

    explicit OldDevice(std::shared_ptr<std::vector<u8>> bytes) : bytes_{std::move(bytes)} {}

    static std::shared_ptr<std::vector<u8>> bytes_of(u64 size)
    {
        return std::make_shared<std::vector<u8>>(size, kOld);
    }

    const std::string& name() const override { return name_; }
    u64 size() const override { return bytes_->size(); }
    bool read_only() const override { return false; }
    bool fixed_size() const override { return true; }
    u64 allocated() const override { return 0; }
    Status flush() override { return base::ok(); }
    Status read(FileOffset at, std::span<u8> into) override
    {
        auto good = check(at, into.size());
        if (good) {
            std::copy_n(bytes_->begin() + static_cast<std::ptrdiff_t>(at.bytes), into.size(),
                        into.begin());
        }
        return good;
    }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        auto good = check(at, from.size());
        if (good) {
            std::ranges::copy(from, bytes_->begin() + static_cast<std::ptrdiff_t>(at.bytes));
        }
        return good;
    }
    Status zero(FileOffset at, u64 length) override
    {
        auto good = check(at, length);
        if (good) {
            std::fill_n(bytes_->begin() + static_cast<std::ptrdiff_t>(at.bytes), length, u8{0});
        }
        return good;
    }
    Status reserve(FileOffset at, u64 length) override { return check(at, length); }
    Status resize(u64 size) override { return check(FileOffset{0}, size); }
    Result<Run> run_at(FileOffset at) override
    {
        return Run{.data = true, .length = bytes_->size() - at.bytes};
    }

private:
    Status check(FileOffset at, u64 length) const
    {
        return at.bytes <= bytes_->size() && length <= bytes_->size() - at.bytes
                   ? base::ok()
                   : Status{base::fail(base::Errc::io, "No space left on device")};
    }

    std::shared_ptr<std::vector<u8>> bytes_;
    std::string name_ = "device";
};

} // namespace img::test
