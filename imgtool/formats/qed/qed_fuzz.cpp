// Everything that is done to a QED image, done to any bytes at all.
#include "imgtool/formats/qed/qed.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    img::test::fuzz_image(img::qed::kDriver, {data, size});
    return 0;
}
