#include "imgtool/formats/vpc/bitmaps.hpp"

#include <algorithm>

namespace img::vpc {

namespace {

bool bit_at(const std::vector<u8>& bytes, u64 sector)
{
    return (bytes[sector / 8] & (0x80u >> (sector % 8))) != 0;
}

} // namespace

/// Forgets bitmaps that are as in the file when there are too many.
void Bitmaps::make_room()
{
    if (kept_.size() * size_ > 2 * kKeptBytes) {
        std::erase_if(kept_, [](const auto& kept) { return !kept.second.dirty; });
    }
}

Result<Bitmaps::Bits*> Bitmaps::load(FileOffset bitmap)
{
    if (const auto found = kept_.find(bitmap); found != kept_.end()) {
        return &found->second;
    }
    make_room();
    Bits bits{.bytes = std::vector<u8>(size_)};
    if (auto done = read_padded(file_, bitmap, bits.bytes); !done) {
        return std::move(done).error().in("reading a sector bitmap");
    }
    return &kept_.emplace(bitmap, std::move(bits)).first->second;
}

void Bitmaps::start(FileOffset bitmap)
{
    make_room();
    kept_[bitmap] = Bits{.bytes = std::vector<u8>(size_)};
}

Result<Bitmaps::Run> Bitmaps::run_at(FileOffset bitmap, u64 sector, u64 limit)
{
    auto bits = load(bitmap);
    if (!bits) {
        return std::move(bits).error();
    }
    const std::vector<u8>& bytes = bits.value()->bytes;
    const bool own = bit_at(bytes, sector);
    const u8 alike = own ? 0xff : 0;
    u64 end = sector + 1;
    while (end < sector + limit) {
        if (end % 8 == 0 && bytes[end / 8] == alike) {
            end += 8;
        } else if (bit_at(bytes, end) == own) {
            ++end;
        } else {
            break;
        }
    }
    return Run{own, std::min(end - sector, limit)};
}

Status Bitmaps::mark(FileOffset bitmap, u64 sector, u64 count)
{
    auto bits = load(bitmap);
    if (!bits) {
        return std::move(bits).error();
    }
    for (u64 i = sector; i < sector + count; ++i) {
        u8& byte = bits.value()->bytes[i / 8];
        byte = static_cast<u8>(byte | (0x80u >> (i % 8)));
    }
    if (!std::exchange(bits.value()->dirty, true)) {
        ++dirty_;
    }
    return base::ok();
}

Status Bitmaps::write_dirty()
{
    for (auto& [at, bits] : kept_) {
        if (!bits.dirty) {
            continue;
        }
        if (auto done = file_.write(at, bits.bytes); !done) {
            return done;
        }
        bits.dirty = false;
        --dirty_;
    }
    return base::ok();
}

} // namespace img::vpc
