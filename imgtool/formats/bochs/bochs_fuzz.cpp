// Everything that is done to a bochs image, done to any bytes at all.
#include "imgtool/formats/bochs/bochs.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    img::test::fuzz_image(img::bochs::kDriver, {data, size}, {}, img::test::FuzzAccess::read_only);
    return 0;
}
