// Reading what a format's map() found: plain, encrypted or compressed bytes.
#pragma once

#include "imgtool/filter/compression.hpp"
#include "imgtool/image.hpp"

#include <span>
#include <vector>

namespace img {

/// Keeps working memory and the last unpacked block from one call to the next. One per thread;
/// several may read from one image at once if its files are `concurrent()`.
class ExtentReader {
public:
    /// Fills `into`, which is `extent.length` bytes or fewer, with what is at `offset` of the disk,
    /// where `extent` of `image` begins. An extent of kind `backing` reads as zero.
    Status read(Image& image, const Extent& extent, u64 offset, std::span<u8> into);

    /// To be called when the image was written: a compressed block may have gone.
    void forget() { unpacked_of_ = nullptr; }

private:
    Status read_data(Image& image, const Extent& extent, std::span<u8> into);
    Status read_packed(Image& image, const Extent& extent, u64 offset, std::span<u8> into);

    Unpacker unpacker_;
    std::vector<u8> packed_;
    std::vector<u8> unpacked_; // guests read a compressed cluster in pieces
    FileOffset unpacked_at_{0};
    const ByteSource* unpacked_of_ = nullptr; // images may have several files
};

} // namespace img
