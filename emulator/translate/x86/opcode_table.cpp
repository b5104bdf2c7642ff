#include "emulator/translate/x86/opcode_row.hpp"

namespace emu::x86 {

OpcodeTable::OpcodeTable()
{
    add(alu_rows());
    add(bit_rows());
    add(branch_rows());
    add(move_rows());
    add(multiply_rows());
    add(shift_rows());
    add(stack_rows());
    add(string_rows());
    add(system_rows());
    add(x87_rows());
}

const OpcodeTable& OpcodeTable::instance()
{
    static const OpcodeTable table;
    return table;
}

void OpcodeTable::add(std::span<const OpcodeRow> rows)
{
    for (const OpcodeRow& row : rows) {
        const unsigned first_reg = row.reg == kAnyReg ? 0 : row.reg;
        const unsigned last_reg = row.reg == kAnyReg ? 7 : row.reg;
        for (unsigned opcode = row.opcode; opcode < row.opcode + row.count; ++opcode) {
            has_modrm_[opcode] = has_modrm_[opcode] || (row.flags & kModRm) != 0;
            for (unsigned reg = first_reg; reg <= last_reg; ++reg) {
                has_overlap_ = has_overlap_ || rows_[opcode][reg] != nullptr;
                rows_[opcode][reg] = &row;
            }
        }
    }
}

} // namespace emu::x86
