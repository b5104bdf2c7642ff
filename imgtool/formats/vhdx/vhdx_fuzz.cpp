// Everything that is done to a VHDX image, done to any bytes at all.
//
// The headers, region tables and log entries of an input need not have the right checksums: they
// are put right first, so that changes of other bytes are seen by what lies behind them.
#include "base/endian.hpp"
#include "imgtool/filter/crc32c.hpp"
#include "imgtool/formats/vhdx/vhdx.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace {

using namespace img;

// What matters of a small image: the first 512 KiB sparsely, a few sectors of log, BAT and
// metadata. An input is a list of pieces: 2 bytes of place in 4 KiB, 2 bytes of length, bytes.
constexpr u64 kImageSize = u64{5} << 20;
constexpr u64 kPlace = 4096;

void unfold(std::span<const u8> input, std::vector<u8>& image)
{
    image.assign(kImageSize, 0);
    while (input.size() >= 4) {
        const u64 at = base::load_le<base::u16>(input, 0) * kPlace;
        const u64 n = std::min<u64>(base::load_le<base::u16>(input, 2), input.size() - 4);
        if (at < image.size() && n <= image.size() - at) {
            std::copy_n(input.begin() + 4, n, image.begin() + static_cast<std::ptrdiff_t>(at));
        }
        input = input.subspan(4 + n);
    }
}

void resign(std::span<u8> bytes)
{
    base::store_le<u32>(bytes, 4, 0);
    base::store_le<u32>(bytes, 4, crc32c(bytes));
}

void put_checksums_right(std::span<u8> image)
{
    for (const u64 at : {u64{64}, u64{128}}) {
        resign(image.subspan(at << 10, 4096));
    }
    for (const u64 at : {u64{192}, u64{256}}) {
        resign(image.subspan(at << 10, 65536));
    }
    for (u64 at = u64{1} << 20; at < u64{2} << 20; at += kPlace) {
        constexpr std::string_view kSignature = "loge";
        const u64 length = base::load_le<u32>(image, at + 8);
        if (std::ranges::equal(image.subspan(at, 4), kSignature) && length >= kPlace &&
            length <= image.size() - at) {
            resign(image.subspan(at, length));
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static std::vector<img::u8> image; // new memory each time would take longest of all
    unfold({data, size}, image);
    put_checksums_right(image);
    img::test::fuzz_image(img::vhdx::kDriver, image);
    img::test::fuzz_image(img::vhdx::kDriver, {data, size});
    return 0;
}
