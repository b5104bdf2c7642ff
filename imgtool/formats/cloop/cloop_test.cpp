#include "imgtool/formats/cloop/cloop.hpp"

#include "base/endian.hpp"
#include "imgtool/chain/chain.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::cloop;
using img::test::need;

namespace {

/// Two blocks of 1 KiB.
std::vector<u8> sample(const std::vector<u8>& content)
{
    std::vector<u8> file(kTableAt + 3 * 8);
    base::store_be<u32>(file, 128, 1024);
    base::store_be<u32>(file, 132, 2);
    Packer packer{Codec::zlib};
    for (std::size_t i = 0; i < 2; ++i) {
        std::vector<u8> packed(Packer::bound(1024));
        packed.resize(packer.pack(std::span{content}.subspan(i * 1024, 1024), packed));
        base::store_be<u64>(file, kTableAt + i * 8, file.size());
        file.insert(file.end(), packed.begin(), packed.end());
    }
    base::store_be<u64>(file, kTableAt + 16, file.size());
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
    std::vector<u8> file = sample(std::vector<u8>(2048));
    base::store_be<T>(file, offset, value);
    const auto image = open(file);
    return image ? "accepted" : image.error().message;
}

} // namespace

TEST_CASE("cloop: blocks are unpacked")
{
    const auto content = test::noise(2048, 1);
    std::vector<Layer> layers;
    layers.push_back({.image = need(open(sample(content))), .path = "memory", .format = "cloop"});
    ChainDisk disk{std::move(layers), true};

    CHECK(test::read_all(disk) == content);
}

TEST_CASE("cloop: each field that can lie is refused by name")
{
    CHECK(refusal_with<u32>(128, 1024) == "accepted");
    CHECK(refusal_with<u32>(128, 513) == "block_size 513 must be a multiple of 512");
    CHECK(refusal_with<u32>(128, 0) == "block_size cannot be zero");
    CHECK(refusal_with<u32>(128, 0xffff'fe00) == "block_size 4294966784 must be 64 MB or less");
    CHECK(refusal_with<u32>(132, 0xffff'ffff) == "n_blocks 4294967295 must be 536870911 or less");
    CHECK(refusal_with<u32>(132, 0x0400'0001) ==
          "image requires too many offsets, try increasing block size");
    CHECK(refusal_with<u32>(132, 1000) == "the table of offsets is cut off");
    CHECK(refusal_with<u64>(136, 0xffff'ffff) ==
          "offsets not monotonically increasing at index 1, image file is corrupt");
    CHECK(refusal_with<u64>(152, ~u64{0}) ==
          "invalid compressed block size at index 2, image file is corrupt");
}

TEST_CASE("cloop: a block beyond the end of the file is an error when it is read")
{
    std::vector<u8> file = sample(std::vector<u8>(2048));
    base::store_be<u64>(file, 152, 100'000);
    auto image = need(open(file));

    CHECK(image->map(GuestOffset{0}, 1024, MapDetail::fast));
    CHECK(image->map(GuestOffset{1024}, 1024, MapDetail::fast).error().message ==
          "block 1 is cut off");
}
