#include "imgtool/ops/diff.hpp"

#include "imgtool/zero_scan.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace img {

namespace {

constexpr u64 kSector = 512;           // bytes
constexpr u64 kPiece = u64{256} << 10; // bytes: two of them stay in a core's cache

class Side {
public:
    explicit Side(ChainDisk& disk) : disk_{disk}, buffer_(kPiece) {}

    /// Up to where all bytes from `offset` on are known to be zero, or may all be something else.
    Result<u64> find_end(u64 offset, u64 limit)
    {
        if (offset < begin_ || offset >= end_) {
            begin_ = offset;
            if (offset >= disk_.size()) {
                end_ = ~u64{0};
                zero_ = true;
            } else {
                auto found = disk_.find(offset, disk_.size() - offset, MapDetail::exact);
                if (!found) {
                    return std::move(found).error();
                }
                const Extent& extent = found.value().extent;
                zero_ = extent.kind == Extent::Kind::zero || extent.kind == Extent::Kind::backing;
                end_ = offset + extent.length;
            }
        }
        return std::min(end_, limit);
    }
    /// Of what find_end() was asked for last.
    bool known_zero() const { return zero_; }

    Result<std::span<const u8>> read(u64 offset, u64 length)
    {
        const auto into = std::span{buffer_}.first(length);
        if (zero_) {
            std::ranges::fill(into, u8{0});
        } else if (auto done = disk_.read(offset, into); !done) {
            return std::move(done).error().in("error while reading at byte " +
                                              std::to_string(offset) + " of " +
                                              disk_.layers().front().path);
        }
        return std::span<const u8>{into};
    }

private:
    ChainDisk& disk_;
    std::vector<u8> buffer_;
    u64 begin_ = 1, end_ = 0; // a range in which all is alike; nothing is known yet
    bool zero_ = false;
};

bool same(std::span<const u8> a, std::span<const u8> b)
{
    return std::memcmp(a.data(), b.data(), a.size()) == 0;
}

/// Tells the runs of sectors that differ.
Status compare_bytes(u64 offset, std::span<const u8> a, std::span<const u8> b,
                     const DiffOptions& options)
{
    if (same(a, b)) {
        return base::ok();
    }
    enum class Nature : u8 { same, zero, data };
    const auto nature_of = [&](u64 at) {
        const u64 n = std::min<u64>(kSector, a.size() - at);
        if (same(a.subspan(at, n), b.subspan(at, n))) {
            return Nature::same;
        }
        return is_zero(b.subspan(at, n)) ? Nature::zero : Nature::data;
    };
    for (u64 begin = 0; begin < a.size();) {
        const Nature nature = nature_of(begin);
        u64 end = std::min<u64>(begin + kSector, a.size());
        while (end < a.size() && nature_of(end) == nature) {
            end = std::min<u64>(end + kSector, a.size());
        }
        if (nature != Nature::same) {
            const Difference difference{.offset = offset + begin,
                                        .length = end - begin,
                                        .bytes = nature == Nature::zero
                                                     ? std::span<const u8>{}
                                                     : b.subspan(begin, end - begin)};
            if (auto told = options.visit(difference); !told) {
                return told;
            }
        }
        begin = end;
    }
    return base::ok();
}

} // namespace

Status diff(ChainDisk& first, ChainDisk& second, const DiffOptions& options)
{
    std::array<Side, 2> sides{Side{first}, Side{second}};
    const u64 total = second.size();
    for (u64 offset = 0; offset < total;) {
        u64 end = total;
        for (Side& side : sides) {
            auto limit = side.find_end(offset, end);
            if (!limit) {
                return std::move(limit).error();
            }
            end = limit.value();
        }
        if (!sides[0].known_zero() || !sides[1].known_zero()) {
            end = std::min(end, offset - offset % kPiece + kPiece);
            auto a = sides[0].read(offset, end - offset);
            if (!a) {
                return std::move(a).error();
            }
            auto b = sides[1].read(offset, end - offset);
            if (!b) {
                return std::move(b).error();
            }
            if (auto done = compare_bytes(offset, a.value(), b.value(), options); !done) {
                return done;
            }
        }
        offset = end;
        if (options.progress && !options.progress(offset, total)) {
            return base::fail(base::Errc::invalid_argument, "interrupted");
        }
    }
    return base::ok();
}

} // namespace img
