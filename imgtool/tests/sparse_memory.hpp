// A file in memory that takes storage only for what is not zero: fuzz targets make many large
// files.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>

namespace img::test {

class SparseMemory final : public ByteSource {
public:
    /// Writes beyond `limit` bytes fail.
    SparseMemory(std::span<const u8> bytes, u64 limit) : limit_{limit}
    {
        size_ = bytes.size();
        put(0, bytes);
    }

    const std::string& name() const override { return name_; }
    u64 size() const override { return size_; }
    bool read_only() const override { return read_only_; }
    void set_read_only() { read_only_ = true; }
    u64 allocated() const override { return pages_.size() * kPage; }
    Status flush() override { return base::ok(); }

    Status read(FileOffset at, std::span<u8> into) override
    {
        if (at.bytes > size_ || into.size() > size_ - at.bytes) {
            return base::fail(base::Errc::io, "read past the end of the file");
        }
        std::ranges::fill(into, u8{0});
        each_page(at.bytes, into.size(), [&](Page& page, u64 within, u64 n, u64 done) {
            std::copy_n(page.begin() + static_cast<std::ptrdiff_t>(within), n,
                        into.begin() + static_cast<std::ptrdiff_t>(done));
        });
        return base::ok();
    }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        if (auto grown = grow_to(at.bytes, from.size()); !grown) {
            return grown;
        }
        put(at.bytes, from);
        return base::ok();
    }
    Status zero(FileOffset at, u64 length) override
    {
        if (auto grown = grow_to(at.bytes, length); !grown) {
            return grown;
        }
        wipe(at.bytes, length);
        return base::ok();
    }
    Status reserve(FileOffset at, u64 length) override { return grow_to(at.bytes, length); }
    Status resize(u64 size) override
    {
        if (size > limit_) {
            return base::fail(base::Errc::io, "No space left on device");
        }
        if (size < size_) {
            wipe(size, size_ - size);
        }
        size_ = size;
        return base::ok();
    }
    Result<Run> run_at(FileOffset at) override
    {
        return Run{.data = true, .length = size_ - at.bytes};
    }

private:
    static constexpr u64 kPage = 4096;
    using Page = std::array<u8, kPage>;

    static bool is_zero(std::span<const u8> piece)
    {
        return piece[0] == 0 && std::memcmp(piece.data(), piece.data() + 1, piece.size() - 1) == 0;
    }
    /// Calls `use` with the part of each page that is there.
    template <class Use>
    void each_page(u64 at, u64 length, const Use& use)
    {
        for (auto it = pages_.lower_bound(at / kPage);
             it != pages_.end() && it->first * kPage < at + length; ++it) {
            const u64 begin = std::max(at, it->first * kPage);
            const u64 end = std::min(at + length, (it->first + 1) * kPage);
            use(it->second, begin % kPage, end - begin, begin - at);
        }
    }
    void put(u64 at, std::span<const u8> from)
    {
        for (u64 done = 0; done < from.size();) {
            const u64 within = (at + done) % kPage;
            const auto piece = from.subspan(done, std::min(kPage - within, from.size() - done));
            const auto there = pages_.find((at + done) / kPage);
            if (there != pages_.end() || !is_zero(piece)) {
                std::ranges::copy(piece, pages_[(at + done) / kPage].begin() +
                                             static_cast<std::ptrdiff_t>(within));
            }
            done += piece.size();
        }
    }
    void wipe(u64 at, u64 length)
    {
        each_page(at, length, [](Page& page, u64 within, u64 n, u64) {
            std::fill_n(page.begin() + static_cast<std::ptrdiff_t>(within), n, u8{0});
        });
    }
    Status grow_to(u64 at, u64 length)
    {
        if (at > limit_ || length > limit_ - at) {
            return base::fail(base::Errc::io, "No space left on device");
        }
        size_ = std::max(size_, at + length);
        return base::ok();
    }

    std::map<u64, Page> pages_; // by their number
    u64 size_ = 0;              // bytes
    u64 limit_;                 // bytes
    bool read_only_ = false;
    std::string name_ = "memory";
};

} // namespace img::test
