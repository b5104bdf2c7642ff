// A disk in memory, for tests of what reads disks.
#pragma once

#include "imgtool/disk.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace img::test {

class MemoryDisk final : public Disk {
public:
    explicit MemoryDisk(std::vector<base::u8> bytes) : bytes_{std::move(bytes)} {}

    base::u64 size() const override { return bytes_.size(); }
    bool read_only() const override { return true; }
    base::Status read(base::u64 offset, std::span<base::u8> into) override
    {
        if (offset > bytes_.size() || into.size() > bytes_.size() - offset) {
            return base::fail(base::Errc::invalid_argument, "past the end");
        }
        std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(),
                    into.begin());
        return base::ok();
    }
    base::Status write(base::u64, std::span<const base::u8>) override { return refused(); }
    base::Status write_zeroes(base::u64, base::u64) override { return refused(); }
    base::Status flush() override { return base::ok(); }
    base::Status
    visit_written(const std::function<base::Status(base::u64, base::u64)>& visit) override
    {
        return visit(0, bytes_.size());
    }

private:
    static base::Status refused() { return base::fail(base::Errc::unsupported, "read only"); }

    std::vector<base::u8> bytes_;
};

} // namespace img::test
