// Everything that is done to a VMDK image, done to any bytes at all. The files that a descriptor
// names have the same bytes, without those that come before a zero byte.
#include "imgtool/formats/vmdk/vmdk.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace img;
    const std::span<const u8> bytes{data, size};
    OpenContext context;
    context.open_sibling = [&](const std::string&) -> Result<std::unique_ptr<ByteSource>> {
        const auto begin = std::ranges::find(bytes, u8{0});
        return std::unique_ptr<ByteSource>{std::make_unique<test::SparseMemory>(
            std::span{begin == bytes.end() ? begin : begin + 1, bytes.end()},
            test::kFuzzFileLimit)};
    };
    context.identity = &Identity::reproducible();
    test::fuzz_image(vmdk::kDriver, bytes, context);
    return 0;
}
