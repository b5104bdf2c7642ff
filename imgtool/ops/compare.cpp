// Both sides' maps are walked in step, so that what is a hole in both costs nothing and what is a
// hole in one is only looked through for something other than zero.
#include "imgtool/ops/compare.hpp"

#include "imgtool/ops/zero_scan.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace img {

namespace {

constexpr u64 kSector = 512; // bytes: differences are told to this precision

// Both buffers stay in a core's second-level cache between being read and being compared, which is
// worth more than fewer system calls.
constexpr u64 kPiece = u64{256} << 10; // bytes

// What the strict mode compares.
constexpr unsigned kData = 1;
constexpr unsigned kZero = 2;
constexpr unsigned kPlaced = 4; // has an offset in a file
constexpr unsigned kAllocated = 8;
constexpr unsigned kLast = 16; // reaches to the end of the disk

/// A part of one disk in which all is alike.
struct Stretch {
    unsigned status = 0;
    u64 end = 0; // offset on the disk

    bool zero() const { return (status & kZero) != 0; }
    bool allocated() const { return (status & kAllocated) != 0; }
};

class Side {
public:
    explicit Side(ChainDisk& disk) : disk_{disk} {}

    u64 size() const { return disk_.size(); }
    ChainDisk& disk() { return disk_; }

    /// What begins at `offset`, or goes on there.
    Result<Stretch> at(u64 offset)
    {
        if (offset >= begin_ && offset < stretch_.end) {
            return stretch_;
        }
        auto found = disk_.find(offset, size() - offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        begin_ = offset;
        stretch_ = {.status = status_of(found.value()),
                    .end = offset + found.value().extent.length};
        if (stretch_.end == size()) {
            stretch_.status |= kLast;
        }
        return stretch_;
    }

private:
    unsigned status_of(const ChainDisk::Found& found)
    {
        const Extent& e = found.extent;
        switch (e.kind) {
        case Extent::Kind::data:
            return kData | kAllocated | (e.sealing.cipher == nullptr ? kPlaced : 0);
        case Extent::Kind::compressed:
            return kData | kAllocated;
        case Extent::Kind::zero:
            return kZero | kAllocated | (e.reserved ? kPlaced : 0);
        case Extent::Kind::backing:
            break;
        }
        // Nobody has it; past the end of a backing file that counts as having been allocated.
        const bool past_backing = found.depth + 1 < disk_.layers().size();
        return kZero | (past_backing ? kAllocated : 0);
    }

    ChainDisk& disk_;
    Stretch stretch_;
    u64 begin_ = 1; // of the stretch; nothing is known yet
};

/// The first sector that is not zero.
std::optional<u64> find_nonzero(std::span<const u8> bytes)
{
    if (is_zero(bytes)) {
        return std::nullopt;
    }
    for (u64 at = 0;; at += kSector) {
        if (!is_zero(bytes.subspan(at, std::min(kSector, bytes.size() - at)))) {
            return at;
        }
    }
}

/// The first sector that differs.
std::optional<u64> find_difference(std::span<const u8> a, std::span<const u8> b)
{
    if (std::memcmp(a.data(), b.data(), a.size()) == 0) {
        return std::nullopt;
    }
    for (u64 at = 0;; at += kSector) {
        if (std::memcmp(a.data() + at, b.data() + at, std::min(kSector, a.size() - at)) != 0) {
            return at;
        }
    }
}

class Comparer {
public:
    Comparer(ChainDisk& first, ChainDisk& second, const CompareOptions& options)
        : options_{options}, sides_{Side{first}, Side{second}}, total_{std::max(first.size(),
                                                                                second.size())}
    {
        for (auto& buffer : buffers_) {
            buffer.resize(kPiece);
        }
    }

    Comparison run()
    {
        if (options_.strict && sides_[0].size() != sides_[1].size()) {
            result_.outcome = Comparison::Outcome::sizes_differ;
            return result_;
        }
        const u64 common = std::min(sides_[0].size(), sides_[1].size());
        for (u64 offset = 0; offset < common;) {
            auto end = compare_at(offset, common);
            if (!end) {
                return result_;
            }
            offset = *end;
        }
        if (common == total_) {
            return result_;
        }
        result_.overhang = true;
        const std::size_t longer = sides_[0].size() > common ? 0 : 1;
        for (u64 offset = common; offset < total_;) {
            auto end = check_overhang(longer, offset);
            if (!end) {
                return result_;
            }
            offset = *end;
        }
        return result_;
    }

private:
    // Each step returns up to where it got, or nothing when the result is there.
    using Step = std::optional<u64>;

    Step end_with(Comparison::Outcome outcome, u64 offset, std::size_t side = 0,
                  std::string message = {})
    {
        result_.outcome = outcome;
        result_.offset = offset;
        result_.side = side;
        result_.message = std::move(message);
        return std::nullopt;
    }

    Step advance(u64 offset)
    {
        if (options_.progress && !options_.progress(offset, total_)) {
            return end_with(Comparison::Outcome::stopped, offset);
        }
        return offset;
    }

    Step compare_at(u64 offset, u64 common)
    {
        std::array<Stretch, 2> stretches;
        u64 end = common;
        for (std::size_t i = 0; i < 2; ++i) {
            auto stretch = sides_[i].at(offset);
            if (!stretch) {
                return end_with(Comparison::Outcome::map_failed, offset, i,
                                stretch.error().message);
            }
            stretches[i] = stretch.value();
            end = std::min(end, stretches[i].end);
        }
        const auto& [a, b] = stretches;
        if (options_.strict && a.status != b.status) {
            return end_with(Comparison::Outcome::status_differs, offset);
        }
        if (a.zero() && b.zero()) {
            return advance(end);
        }
        if (a.zero() || b.zero()) {
            return check_zero(a.zero() ? 1 : 0, offset, end);
        }
        return compare_bytes(offset, end);
    }

    bool read(std::size_t side, u64 offset, std::span<u8> into)
    {
        auto done = sides_[side].disk().read(offset, into);
        if (!done) {
            (void)end_with(Comparison::Outcome::read_failed, offset, side, done.error().message);
        }
        return static_cast<bool>(done);
    }

    Step compare_bytes(u64 offset, u64 end)
    {
        while (offset < end) {
            const u64 n = std::min(end - offset, kPiece - offset % kPiece);
            const std::span<u8> a = std::span{buffers_[0]}.first(n);
            const std::span<u8> b = std::span{buffers_[1]}.first(n);
            if (!read(0, offset, a) || !read(1, offset, b)) {
                return std::nullopt;
            }
            if (const auto at = find_difference(a, b)) {
                return end_with(Comparison::Outcome::content_differs, offset + *at);
            }
            offset += n;
            if (!advance(offset)) {
                return std::nullopt;
            }
        }
        return offset;
    }

    Step check_zero(std::size_t side, u64 offset, u64 end)
    {
        while (offset < end) {
            const u64 n = std::min(end - offset, kPiece - offset % kPiece);
            const std::span<u8> bytes = std::span{buffers_[0]}.first(n);
            if (!read(side, offset, bytes)) {
                return std::nullopt;
            }
            if (const auto at = find_nonzero(bytes)) {
                return end_with(Comparison::Outcome::content_differs, offset + *at);
            }
            offset += n;
            if (!advance(offset)) {
                return std::nullopt;
            }
        }
        return offset;
    }

    Step check_overhang(std::size_t side, u64 offset)
    {
        auto stretch = sides_[side].at(offset);
        if (!stretch) {
            return end_with(Comparison::Outcome::map_failed, offset, side, stretch.error().message);
        }
        if (stretch.value().zero()) {
            return advance(stretch.value().end);
        }
        return check_zero(side, offset, stretch.value().end);
    }

    const CompareOptions& options_;
    std::array<Side, 2> sides_;
    u64 total_; // bytes of the longer disk
    std::array<std::vector<u8>, 2> buffers_;
    Comparison result_;
};

} // namespace

Comparison compare(ChainDisk& first, ChainDisk& second, const CompareOptions& options)
{
    return Comparer{first, second, options}.run();
}

} // namespace img
