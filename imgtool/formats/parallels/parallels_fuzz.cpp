// Everything that is done to a Parallels image, done to any bytes at all.
#include "imgtool/formats/parallels/parallels.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    img::test::fuzz_image(img::parallels::kDriver, {data, size});
    return 0;
}
