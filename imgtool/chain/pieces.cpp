#include "imgtool/chain/pieces.hpp"

namespace img {

Status find_pieces(ChainDisk& disk, u64 offset, u64 length, std::vector<Piece>& into)
{
    const u64 end = offset + length;
    while (offset < end) {
        auto found = disk.find(offset, end - offset, MapDetail::exact);
        if (!found) {
            return std::move(found).error();
        }
        Image* image = disk.layers()[found.value().depth].image.get();
        into.push_back({.image = image,
                        .extent = found.value().extent,
                        .offset = offset,
                        .through = image->extents_can_be_read() ? nullptr : &disk});
        offset += found.value().extent.length;
    }
    return base::ok();
}

bool is_read_alone(const Piece& piece)
{
    const ByteSource& file = piece.extent.in != nullptr ? *piece.extent.in : piece.image->file();
    return piece.through != nullptr || !file.concurrent();
}

Status read_piece(ExtentReader& reader, const Piece& piece, std::span<u8> into)
{
    return piece.through != nullptr ? piece.through->read(piece.offset, into)
                                    : reader.read(*piece.image, piece.extent, piece.offset, into);
}

Status read_pieces(ExtentReader& reader, std::span<const Piece> pieces, std::mutex& alone,
                   std::span<u8> into)
{
    for (const Piece& piece : pieces) {
        std::unique_lock lock{alone, std::defer_lock};
        if (is_read_alone(piece)) {
            lock.lock();
        }
        if (auto done = read_piece(reader, piece, into.first(piece.extent.length)); !done) {
            return done;
        }
        into = into.subspan(piece.extent.length);
    }
    return base::ok();
}

} // namespace img
