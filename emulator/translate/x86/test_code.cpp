#include "emulator/translate/x86/test_code.hpp"

#include "emulator/cpu/x86/system.hpp"
#include "emulator/ir/block.hpp"

namespace emu::x86 {

namespace {

TranslateRequest request(u32 mode)
{
    return {.pc = 0,
            .cs_base = 0,
            .cs_limit = (mode & kModeCode32) != 0 ? 0xffff'ffff : 0xffff,
            .mode = mode,
            .max_instructions = 1,
            .model = find_model("pentium3")};
}

} // namespace

std::string translate_one(std::initializer_list<u8> bytes, u32 mode)
{
    TestCode code{bytes};
    ir::Block block;
    translate(request(mode), code, block);
    std::string problem = ir::verify(block);
    if (!problem.empty()) {
        return problem;
    }
    const bool falls_through =
        block.insts.back().op == ir::Op::exit && block.insts.back().imm == block.insts.front().aux;
    block.insts.erase(block.insts.begin());
    if (falls_through) {
        block.insts.pop_back();
    }
    return ir::print(block);
}

unsigned length_of(std::initializer_list<u8> bytes, bool code32)
{
    TestCode code{bytes};
    ir::Block block;
    return translate(request(code32 ? kModeProtected | kModeCode32 : 0), code, block).byte_length;
}

} // namespace emu::x86
