// A disk in memory for the device tests; each sector starts with its number.
#pragma once

#include "imgtool/disk.hpp"

#include <algorithm>
#include <vector>

namespace emu::devices::block {

class MemoryDisk final : public img::Disk {
public:
    explicit MemoryDisk(base::u64 sectors, base::u64 sector_size = 512)
        : bytes(sectors * sector_size)
    {
        for (base::u64 i = 0; i < sectors; ++i) {
            bytes[i * sector_size] = static_cast<base::u8>(i);
            bytes[i * sector_size + 1] = static_cast<base::u8>(i >> 8);
        }
    }
    base::u64 size() const override { return bytes.size(); }
    bool read_only() const override { return write_protected; }
    base::Status read(base::u64 offset, std::span<base::u8> into) override
    {
        if (failing || offset + into.size() > bytes.size()) {
            return base::fail(base::Errc::io, "broken");
        }
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
        return base::ok();
    }
    base::Status write(base::u64 offset, std::span<const base::u8> from) override
    {
        if (failing || offset + from.size() > bytes.size()) {
            return base::fail(base::Errc::io, "broken");
        }
        std::ranges::copy(from, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
        return base::ok();
    }
    base::Status write_zeroes(base::u64, base::u64) override
    {
        return base::fail(base::Errc::unsupported, "no test needs it");
    }
    base::Status flush() override
    {
        ++flushes;
        return failing ? base::Status{base::fail(base::Errc::io, "broken")} : base::ok();
    }
    base::Status visit_written(const std::function<base::Status(base::u64, base::u64)>&) override
    {
        return base::ok();
    }

    std::vector<base::u8> bytes;
    bool failing = false;
    bool write_protected = false;
    int flushes = 0;
};

} // namespace emu::devices::block
