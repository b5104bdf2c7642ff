#include "imgtool/chain/extent_reader.hpp"

#include "imgtool/filter/sealed_io.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img {

namespace {

ByteSource& file_of(Image& image, const Extent& extent)
{
    return extent.in != nullptr ? *extent.in : image.file();
}

} // namespace

Status ExtentReader::read(Image& image, const Extent& extent, u64 offset, std::span<u8> into)
{
    switch (extent.kind) {
    case Extent::Kind::data:
        return read_data(image, extent, into);
    case Extent::Kind::compressed:
        return read_packed(image, extent, offset, into);
    case Extent::Kind::zero:
    case Extent::Kind::backing:
        std::ranges::fill(into, u8{0});
        return base::ok();
    }
    return base::ok();
}

Status ExtentReader::read_data(Image& image, const Extent& extent, std::span<u8> into)
{
    ByteSource& file = file_of(image, extent);
    file.announce(DebugEvent::read_data);
    if (extent.sealing.cipher == nullptr) {
        return read_padded(file, extent.at, into);
    }
    return read_sealed(file, extent.at, extent.sealing, into);
}

Status ExtentReader::read_packed(Image& image, const Extent& extent, u64 offset, std::span<u8> into)
{
    const Extent::Packed& packed = extent.packed;
    ByteSource& file = file_of(image, extent);
    const u64 within = offset - packed.block.bytes;
    const bool whole = within == 0 && into.size() == packed.block_length;
    if (unpacked_of_ != &file || unpacked_at_ != packed.at) {
        unpacked_of_ = nullptr;
        file.announce(DebugEvent::read_compressed);
        packed_.resize(packed.packed_length); // a format never says more than two blocks' worth
        if (auto done = read_padded(file, packed.at, packed_); !done) {
            return done;
        }
        if (!whole) {
            unpacked_.resize(packed.block_length);
        }
        const std::span<u8> block = whole ? into : std::span<u8>{unpacked_};
        if (auto done = unpacker_.unpack(packed.codec, packed_, block, packed.least); !done) {
            return std::move(done).error().in(fmt::format("guest offset {:#x}", offset));
        }
        if (whole) {
            return base::ok();
        }
        unpacked_of_ = &file;
        unpacked_at_ = packed.at;
    }
    std::copy_n(unpacked_.begin() + static_cast<std::ptrdiff_t>(within), into.size(), into.begin());
    return base::ok();
}

} // namespace img
