#include "imgtool/fs/iso9660.hpp"
#include "imgtool/tests/fuzz_file_system.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    img::test::fuzz_file_system(img::fs::open_iso9660, {data, size});
    return 0;
}
