// Everything that is done to a VHD image, done to any bytes at all.
#include "imgtool/formats/vpc/vpc.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    img::test::fuzz_image(img::vpc::kDriver, {data, size});
    return 0;
}
