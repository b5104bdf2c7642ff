// Parts of a disk whose places are known, so that several threads may read them at once.
#pragma once

#include "imgtool/chain/chain.hpp"

#include <mutex>
#include <span>
#include <vector>

namespace img {

/// A stretch of a disk that lies in one piece in one image.
struct Piece {
    Image* image;
    Extent extent;
    u64 offset; // bytes, on the disk
    /// When set, the bytes can only be had by reading this disk.
    ChainDisk* through = nullptr;
};

/// Where `length` bytes from `offset` on are. Not safe for use by several threads.
Status find_pieces(ChainDisk& disk, u64 offset, u64 length, std::vector<Piece>& into);

/// Whether nothing else of the disk may be used by other threads while the piece is read.
bool is_read_alone(const Piece& piece);

/// Reads all of one piece.
Status read_piece(ExtentReader& reader, const Piece& piece, std::span<u8> into);

/// Reads pieces one after the other. `alone` is held by whoever finds pieces, and here for those
/// that are read alone.
Status read_pieces(ExtentReader& reader, std::span<const Piece> pieces, std::mutex& alone,
                   std::span<u8> into);

} // namespace img
