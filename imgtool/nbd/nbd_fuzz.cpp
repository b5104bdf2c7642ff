// Any bytes at all as a client of the server: handshake and requests. The first byte says how the
// server is set up.
#include "imgtool/nbd/script_stream.hpp"
#include "imgtool/nbd/test_disk.hpp"
#include "imgtool/nbd/transmission.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

constexpr img::u64 kDiskSize = img::u64{1} << 20;           // bytes
constexpr std::size_t kMostAnswers = std::size_t{32} << 20; // bytes
constexpr std::size_t kMostInput = std::size_t{64} << 10;   // bytes

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0 || size > kMostInput) {
        return 0;
    }
    const std::uint8_t setup = data[0];
    const bool read_only = (setup & 1) != 0;
    const bool can_secure = (setup & 2) != 0;
    const bool tls_required = can_secure && (setup & 4) != 0;
    img::nbd::TestDisk disk{kDiskSize, read_only};
    disk.state->stored[3] = true;
    disk.state->bytes[3 * img::nbd::TestSource::kPage] = 0x5a;
    if ((setup & 8) != 0) {
        disk.state->bad_from = kDiskSize / 2;
        disk.state->full_from = kDiskSize / 2;
    }
    img::nbd::Export offered{*disk.disk,
                             {.name = (setup & 16) != 0 ? "" : "disk", .description = "a test"}};
    img::nbd::ScriptStream stream{{data + 1, size - 1}, can_secure, kMostAnswers};
    img::nbd::serve_client(stream, offered, tls_required);
    // A read-only disk stays as it was.
    if (read_only && (disk.state->bytes[0] != 0 || disk.state->flushes != 0)) {
        std::abort();
    }
    return 0;
}
