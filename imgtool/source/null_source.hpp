// Bytes that are all zero and take no storage: QEMU's drivers "null-co" and "null-aio".
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <algorithm>

namespace img {

class NullSource final : public ByteSource {
public:
    /// `knows_zeroes`: holes are reported; otherwise all counts as data.
    NullSource(std::string name, u64 size, bool knows_zeroes)
        : name_{std::move(name)}, size_{size}, knows_zeroes_{knows_zeroes}
    {}

    const std::string& name() const override { return name_; }
    u64 size() const override { return size_; }
    bool read_only() const override { return false; }
    bool fixed_size() const override { return true; }
    Status read(FileOffset, std::span<u8> into) override
    {
        std::ranges::fill(into, u8{0});
        return base::ok();
    }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        return within(at, from.size());
    }
    Status zero(FileOffset at, u64 length) override { return within(at, length); }
    Status reserve(FileOffset at, u64 length) override { return within(at, length); }
    Status resize(u64 size) override
    {
        return size == size_ ? base::ok()
                             : Status{base::fail(base::Errc::unsupported,
                                                 "this disk of zeroes cannot be resized")};
    }
    Status flush() override { return base::ok(); }
    Result<Run> run_at(FileOffset at) override
    {
        return Run{.data = !knows_zeroes_, .length = size_ - at.bytes};
    }
    u64 allocated() const override { return 0; }

private:
    Status within(FileOffset at, u64 length) const
    {
        return at.bytes <= size_ && length <= size_ - at.bytes
                   ? base::ok()
                   : Status{base::fail(base::Errc::io, "No space left on device")};
    }

    std::string name_;
    u64 size_; // bytes
    bool knows_zeroes_;
};

} // namespace img
