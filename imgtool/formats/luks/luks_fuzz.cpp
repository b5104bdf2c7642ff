// Everything that is done to a LUKS image, done to any bytes at all, with and without a passphrase.
#include "imgtool/crypto/luks.hpp"
#include "imgtool/formats/luks/luks.hpp"
#include "imgtool/secret.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <algorithm>
#include <cstdint>

namespace {

/// Iterations are time that the owner of a passphrase agreed to spend; here they are few.
void limit_iterations(std::vector<img::u8>& bytes)
{
    for (std::size_t at = 164; at < 592 && at + 4 <= bytes.size(); at = at == 164 ? 212 : at + 48) {
        bytes[at] = bytes[at + 1] = 0;
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace img;
    std::vector<u8> bytes{data, data + size};
    limit_iterations(bytes);
    // The corpus has headers only; a disk belongs behind them.
    bytes.resize(std::max<std::size_t>(bytes.size(), std::size_t{1} << 20));
    OpenContext context{.no_io = true};
    if (auto image = luks::kDriver.open(
            std::make_unique<test::SparseMemory>(bytes, test::kFuzzFileLimit), context)) {
        (void)image.value()->info();
    }
    Secrets secrets;
    secrets.add("s", "abcdef");
    test::fuzz_image(luks::kDriver, bytes, {.secrets = &secrets, .options = {{"key-secret", "s"}}});
    return 0;
}
