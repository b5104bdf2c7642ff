#include "imgtool/fs/partitions.hpp"
#include "imgtool/tests/memory_disk.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    img::test::MemoryDisk disk{{data, data + size}};
    (void)img::fs::read_partitions(disk);
    return 0;
}
