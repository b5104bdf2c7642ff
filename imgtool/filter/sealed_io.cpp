#include "imgtool/filter/sealed_io.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace img {

namespace {

constexpr u64 kSector = SectorCipher::kSectorSize;
constexpr u64 kPiece = u64{256} << 10; // bytes encrypted at once

/// Reads part of one sector.
Status read_part(ByteSource& file, FileOffset at, const Sealing& sealing, std::span<u8> into)
{
    const u64 within = sealing.position % kSector;
    std::array<u8, kSector> sector{};
    if (auto done = read_padded(file, FileOffset{at.bytes - within}, sector); !done) {
        return done;
    }
    if (auto done = sealing.cipher->decrypt(sealing.position - within, sector); !done) {
        return done;
    }
    std::ranges::copy(std::span{sector}.subspan(within, into.size()), into.begin());
    return base::ok();
}

/// Changes part of one sector.
Status write_part(ByteSource& file, FileOffset at, const Sealing& sealing, std::span<const u8> from)
{
    const u64 within = sealing.position % kSector;
    const FileOffset begin{at.bytes - within};
    const Sealing whole{sealing.cipher, sealing.position - within};
    std::array<u8, kSector> sector{};
    if (auto done = read_part(file, begin, whole, sector); !done) {
        return done;
    }
    std::ranges::copy(from, sector.begin() + static_cast<std::ptrdiff_t>(within));
    if (auto done = sealing.cipher->encrypt(whole.position, sector); !done) {
        return done;
    }
    return file.write(begin, sector);
}

/// How many bytes from `position` on are part of one sector only, or else are whole sectors.
u64 step(u64 position, u64 length)
{
    const u64 within = position % kSector;
    if (within != 0 || length < kSector) {
        return std::min(length, kSector - within);
    }
    return length / kSector * kSector;
}

} // namespace

Status read_sealed(ByteSource& file, FileOffset at, const Sealing& sealing, std::span<u8> into)
{
    Sealing now = sealing;
    while (!into.empty()) {
        const auto piece = into.first(step(now.position, into.size()));
        const bool whole = piece.size() % kSector == 0 && now.position % kSector == 0;
        Status done = whole ? read_padded(file, at, piece) : read_part(file, at, now, piece);
        if (done && whole) {
            done = now.cipher->decrypt(now.position, piece);
        }
        if (!done) {
            return done;
        }
        at.bytes += piece.size();
        now.position += piece.size();
        into = into.subspan(piece.size());
    }
    return base::ok();
}

Status write_sealed(ByteSource& file, FileOffset at, const Sealing& sealing,
                    std::span<const u8> from)
{
    Sealing now = sealing;
    std::vector<u8> sealed;
    while (!from.empty()) {
        const auto piece = from.first(std::min(step(now.position, from.size()), kPiece));
        const bool whole = piece.size() % kSector == 0 && now.position % kSector == 0;
        Status done = base::ok();
        if (whole) {
            sealed.assign(piece.begin(), piece.end());
            done = now.cipher->encrypt(now.position, sealed);
            if (done) {
                done = file.write(at, sealed);
            }
        } else {
            done = write_part(file, at, now, piece);
        }
        if (!done) {
            return done;
        }
        at.bytes += piece.size();
        now.position += piece.size();
        from = from.subspan(piece.size());
    }
    return base::ok();
}

} // namespace img
