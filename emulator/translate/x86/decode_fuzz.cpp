// Fuzz target: byte 0 chooses mode and CPU, byte 1 where the code lies; the rest is code. The IR
// must keep the rules.
#include "emulator/cpu/x86/system.hpp"
#include "emulator/translate/x86/test_code.hpp"

#include <cstdio>
#include <cstdlib>

using namespace emu::x86;

namespace {

/// Two pages; the second may be missing.
class TwoPages : public CodeSource {
public:
    const u8* page(u32 linear) override
    {
        const bool second = (linear & 0x1000) != 0;
        return second && !has_second ? nullptr : &bytes[second ? 4096 : 0];
    }

    std::array<u8, 8192> bytes{};
    bool has_second = true;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size)
{
    if (size < 3) {
        return 0;
    }
    TwoPages code;
    const u32 at = data[1] < 128 ? data[1] : 0xf80u + data[1] - 128; // near either end of a page
    std::copy_n(data + 2, std::min(size - 2, code.bytes.size() - at), code.bytes.begin() + at);
    code.has_second = (data[0] & 0x80) == 0;
    constexpr std::array<u32, 4> kModes{0, kModeV86 | kModeUser,
                                        kModeProtected | kModeCode32 | kModeStack32 | kFlat32,
                                        kModeProtected | kModeCode32};
    const u32 mode = kModes[data[0] & 3];
    const auto names = model_names();
    emu::ir::Block block;
    const Translation result = translate({.pc = at,
                                          .cs_base = 0,
                                          .cs_limit = (data[0] & 0x40) != 0 ? at + 8 : 0xffff,
                                          .mode = mode,
                                          .max_instructions = 1u + ((data[0] >> 2) & 15) * 4,
                                          .model = find_model(names[data[1] % names.size()])},
                                         code, block);
    if (result.result != TranslateResult::ok) {
        return 0;
    }
    const std::string problem = emu::ir::verify(block);
    if (!problem.empty()) {
        std::fprintf(stderr, "%s\n%s", problem.c_str(), emu::ir::print(block).c_str());
        std::abort();
    }
    return 0;
}
