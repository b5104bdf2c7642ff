// Everything that is done with a delta, done with any bytes at all.
#include "imgtool/ops/delta.hpp"
#include "imgtool/source/memory_source.hpp"

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace img;
    MemorySource file{std::vector<u8>{data, data + size}};
    auto delta = DeltaReader::open(file);
    if (!delta) {
        return 0;
    }
    (void)delta.value().verify();
    // What patch would do if the checksum were right.
    std::vector<u8> bytes;
    for (;;) {
        auto record = delta.value().next();
        if (!record || !record.value()) {
            return 0;
        }
        if (record.value()->kind != DeltaRecord::Kind::zero) {
            (void)delta.value().read(*record.value(), bytes);
        }
    }
}
