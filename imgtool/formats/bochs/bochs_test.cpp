#include "imgtool/formats/bochs/bochs.hpp"

#include "base/endian.hpp"
#include "imgtool/chain/chain.hpp"
#include "imgtool/formats/bochs/bochs_layout.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::bochs;
using img::test::need;

namespace {

/// A version 2 image of three extents of 4 KiB, the second of which has its sectors 1 and 7.
std::vector<u8> sample()
{
    std::vector<u8> file(512 + 3 * 4 + 512 + 4096, 0);
    const auto text = [&file](std::size_t at, std::string_view what) {
        std::copy(what.begin(), what.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
    };
    text(0, "Bochs Virtual HD Image");
    text(32, "Redolog");
    text(48, "Growing");
    base::store_le<u32>(file, 64, 0x20000);
    base::store_le<u32>(file, 68, 512);
    base::store_le<u32>(file, 72, 3);
    base::store_le<u32>(file, 76, 1);
    base::store_le<u32>(file, 80, 4096);
    base::store_le<u64>(file, 88, 3 * 4096 - 512);
    for (const std::size_t i : {0, 1, 2}) {
        base::store_le<u32>(file, 512 + i * 4, i == 1 ? 0 : kNoExtent);
    }
    file[524] = 0x82;
    std::fill_n(file.begin() + 524 + 512 + 512, 512, u8{0xaa});
    std::fill_n(file.begin() + 524 + 512 + 7 * 512, 512, u8{0xbb});
    return file;
}

Result<std::unique_ptr<Image>> open(const std::vector<u8>& bytes)
{
    auto file = std::make_unique<MemorySource>(bytes);
    file->set_read_only();
    return open_alone(kDriver, std::move(file));
}

template <class T>
std::string refusal_with(std::size_t offset, T value)
{
    std::vector<u8> file = sample();
    base::store_le<T>(file, offset, value);
    const auto image = open(file);
    return image ? "accepted" : image.error().message;
}

} // namespace

TEST_CASE("bochs: sectors are found through catalog and bitmap")
{
    std::vector<Layer> layers;
    layers.push_back({.image = need(open(sample())), .path = "memory", .format = "bochs"});
    ChainDisk disk{std::move(layers), true};

    const auto bytes = test::read_all(disk);

    std::vector<u8> expected(3 * 4096 - 512);
    std::fill_n(expected.begin() + 4096 + 512, 512, u8{0xaa});
    std::fill_n(expected.begin() + 4096 + 7 * 512, 512, u8{0xbb});
    CHECK(bytes == expected);
}

TEST_CASE("bochs: each field that can lie is refused by name")
{
    CHECK(refusal_with<u32>(64, 0x20000) == "accepted");
    CHECK(refusal_with<u32>(64, 0x30000) == "Image not in Bochs format");
    CHECK(refusal_with<u32>(72, 0xffff'ffff) == "Catalog size is too large");
    CHECK(refusal_with<u32>(72, 0x4000'0000) == "Catalog size is too large");
    CHECK(refusal_with<u32>(72, 2) == "Catalog size is too small for this disk size");
    CHECK(refusal_with<u32>(72, 0x10'0000) == "the catalog is cut off");
    CHECK(refusal_with<u32>(76, 0) == "Bitmap size 0 is too small");
    CHECK(refusal_with<u32>(80, 0) == "Extent size must be at least 512");
    CHECK(refusal_with<u32>(80, 0x8000'0000) == "Extent size 2147483648 is too large");
    CHECK(refusal_with<u32>(80, 5000) == "Extent size 5000 is not a power of two");
    CHECK(refusal_with<u64>(88, ~u64{0}) == "Catalog size is too small for this disk size");
}

TEST_CASE("bochs: an image is not opened for writing")
{
    auto image = open_alone(kDriver, std::make_unique<MemorySource>(sample()));

    CHECK(image.error().message == "Image is read-only");
}
