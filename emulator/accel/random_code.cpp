#include "emulator/accel/random_code.hpp"

#include <algorithm>
#include <array>

namespace emu::accel {

namespace {

/// What follows an opcode.
enum class Form : u8 { none, modrm, modrm_imm8, modrm_imm, imm8, imm, near_jump };

struct Template {
    u8 map; // 0: one byte, 1: 0F
    u8 first;
    u8 count; // opcodes first to first + count - 1
    Form form;
    u8 weight;
};

// Opcodes that keep a program going, and the rarer ones that end blocks (Intel SDM vol. 2, A.3).
constexpr std::array kTemplates{
    Template{0, 0x00, 4, Form::modrm, 6},      Template{0, 0x08, 4, Form::modrm, 6},
    Template{0, 0x10, 4, Form::modrm, 8},      Template{0, 0x18, 4, Form::modrm, 8},
    Template{0, 0x20, 4, Form::modrm, 6},      Template{0, 0x28, 4, Form::modrm, 6},
    Template{0, 0x30, 4, Form::modrm, 6},      Template{0, 0x38, 4, Form::modrm, 6},
    Template{0, 0x04, 1, Form::imm8, 2},       Template{0, 0x15, 1, Form::imm, 2},
    Template{0, 0x27, 1, Form::none, 1},       Template{0, 0x2f, 1, Form::none, 1},
    Template{0, 0x37, 1, Form::none, 1},       Template{0, 0x3f, 1, Form::none, 1},
    Template{0, 0x40, 16, Form::none, 6},      Template{0, 0x50, 16, Form::none, 8},
    Template{0, 0x60, 2, Form::none, 2},       Template{0, 0x62, 1, Form::modrm, 1},
    Template{0, 0x63, 1, Form::modrm, 1},      Template{0, 0x68, 1, Form::imm, 2},
    Template{0, 0x69, 1, Form::modrm_imm, 3},  Template{0, 0x6a, 1, Form::imm8, 2},
    Template{0, 0x6b, 1, Form::modrm_imm8, 3}, Template{0, 0x6c, 4, Form::none, 2},
    Template{0, 0x70, 16, Form::near_jump, 8}, Template{0, 0x80, 1, Form::modrm_imm8, 6},
    Template{0, 0x81, 1, Form::modrm_imm, 6},  Template{0, 0x83, 1, Form::modrm_imm8, 6},
    Template{0, 0x84, 8, Form::modrm, 10},     Template{0, 0x8c, 1, Form::modrm, 1},
    Template{0, 0x8d, 1, Form::modrm, 4},      Template{0, 0x8e, 1, Form::modrm, 1},
    Template{0, 0x8f, 1, Form::modrm, 2},      Template{0, 0x90, 10, Form::none, 5},
    Template{0, 0x9b, 5, Form::none, 4},       Template{0, 0xa4, 2, Form::none, 4},
    Template{0, 0xa6, 2, Form::none, 4},       Template{0, 0xa8, 1, Form::imm8, 1},
    Template{0, 0xaa, 6, Form::none, 6},       Template{0, 0xb0, 8, Form::imm8, 4},
    Template{0, 0xc0, 2, Form::modrm_imm8, 8}, Template{0, 0xc6, 1, Form::modrm_imm8, 4},
    Template{0, 0xc7, 1, Form::modrm_imm, 4},  Template{0, 0xc9, 1, Form::none, 1},
    Template{0, 0xcc, 1, Form::none, 1},       Template{0, 0xcd, 1, Form::imm8, 1},
    Template{0, 0xce, 1, Form::none, 1},       Template{0, 0xd0, 4, Form::modrm, 10},
    Template{0, 0xd4, 2, Form::imm8, 1},       Template{0, 0xd7, 1, Form::none, 1},
    Template{0, 0xd8, 8, Form::modrm, 10},     Template{0, 0xe0, 4, Form::near_jump, 3},
    Template{0, 0xe4, 4, Form::imm8, 2},       Template{0, 0xec, 4, Form::none, 2},
    Template{0, 0xeb, 1, Form::near_jump, 2},  Template{0, 0xf5, 1, Form::none, 2},
    Template{0, 0xf6, 2, Form::modrm, 8},      Template{0, 0xf8, 6, Form::none, 3},
    Template{0, 0xfe, 1, Form::modrm, 3},      Template{0, 0xff, 1, Form::modrm, 2},
    Template{1, 0x00, 2, Form::modrm, 1},      Template{1, 0x02, 2, Form::modrm, 1},
    Template{1, 0x31, 1, Form::none, 2},       Template{1, 0x40, 16, Form::modrm, 8},
    Template{1, 0x60, 12, Form::modrm, 3},     Template{1, 0x6e, 2, Form::modrm, 2},
    Template{1, 0x74, 4, Form::modrm, 2},      Template{1, 0x7e, 2, Form::modrm, 2},
    Template{1, 0x90, 16, Form::modrm, 6},     Template{1, 0xa2, 1, Form::none, 1},
    Template{1, 0xa3, 1, Form::modrm, 3},      Template{1, 0xa4, 1, Form::modrm_imm8, 3},
    Template{1, 0xa5, 1, Form::modrm, 3},      Template{1, 0xab, 1, Form::modrm, 3},
    Template{1, 0xac, 1, Form::modrm_imm8, 3}, Template{1, 0xad, 1, Form::modrm, 3},
    Template{1, 0xae, 1, Form::modrm, 1},      Template{1, 0xaf, 1, Form::modrm, 4},
    Template{1, 0xb0, 2, Form::modrm, 4},      Template{1, 0xb3, 1, Form::modrm, 3},
    Template{1, 0xb6, 2, Form::modrm, 4},      Template{1, 0xba, 1, Form::modrm_imm8, 4},
    Template{1, 0xbb, 5, Form::modrm, 6},      Template{1, 0xc0, 2, Form::modrm, 4},
    Template{1, 0xc7, 1, Form::modrm, 2},      Template{1, 0xc8, 8, Form::none, 3},
    Template{1, 0xd1, 3, Form::modrm, 2},
};

class Writer {
public:
    Writer(Dice& dice, const Terrain& terrain, std::size_t bytes)
        : dice_{dice}, terrain_{terrain}, limit_{bytes}
    {
        for (const Template& row : kTemplates) {
            total_weight_ += row.weight;
        }
    }

    std::vector<u8> run()
    {
        while (code_.size() < limit_) {
            switch (dice_.below(16)) {
            case 0:
                emit(dice_.next());
                emit(dice_.next());
                emit(dice_.next());
                break;
            case 1:
            case 2:
                aim_register();
                break;
            default:
                from_template();
            }
        }
        code_.resize(limit_);
        return std::move(code_);
    }

private:
    void emit(u32 byte) { code_.push_back(static_cast<u8>(byte)); }
    void emit_int(u32 value, unsigned size)
    {
        for (unsigned i = 0; i < size; ++i) {
            emit(value >> (8 * i));
        }
    }
    u32 place()
    {
        const u32 near = dice_.pick(terrain_.places);
        return near + dice_.below(64) - 32;
    }

    /// mov reg, place: so that memory operands hit something.
    void aim_register()
    {
        emit(0xb8 + dice_.below(8));
        const bool aims = !dice_.one_in(4);
        emit_int(aims ? place() : corner(), terrain_.code32 ? 4 : 2);
    }

    u32 corner()
    {
        constexpr std::array<u32, 10> kCorners{
            0, 1, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fff'ffff, 0x8000'0000, 0xffff'ffff, 0xffff'fffe};
        return dice_.one_in(2) ? dice_.pick(kCorners) : dice_.next();
    }

    void prefixes()
    {
        constexpr std::array<u8, 12> kPrefixes{0x66, 0x66, 0x66, 0x67, 0xf3, 0xf3,
                                               0xf2, 0x26, 0x2e, 0x36, 0x64, 0xf0};
        address32_ = terrain_.code32;
        operand32_ = terrain_.code32;
        while (dice_.one_in(5)) {
            const u8 prefix = dice_.pick(kPrefixes);
            emit(prefix);
            address32_ = prefix == 0x67 ? !terrain_.code32 : address32_;
            operand32_ = prefix == 0x66 ? !terrain_.code32 : operand32_;
        }
    }

    void modrm()
    {
        const u32 reg = dice_.below(8) << 3;
        switch (dice_.below(4)) {
        case 0: // an absolute address
            emit((address32_ ? 5 : 6) | reg);
            emit_int(place(), address32_ ? 4 : 2);
            return;
        case 1: // [base], [base + index]
            indirect(0, reg);
            return;
        case 2:
            indirect(dice_.below(2) + 1, reg);
            return;
        default:
            emit(0xc0 | reg | dice_.below(8));
        }
    }

    void indirect(u32 mod, u32 reg)
    {
        const u32 rm = dice_.below(8);
        emit(mod << 6 | reg | rm);
        const bool absolute = mod == 0 && rm == (address32_ ? 5u : 6u);
        u32 base = rm;
        if (address32_ && rm == 4) {
            const u32 sib = dice_.next() & 0xff;
            emit(sib);
            base = sib & 7;
        }
        if (mod == 1) {
            emit(dice_.next());
        } else if (mod == 2 || absolute || (address32_ && mod == 0 && rm == 4 && base == 5)) {
            emit_int(mod == 2 ? dice_.below(64) : place(), address32_ ? 4 : 2);
        }
    }

    void from_template()
    {
        u32 ticket = dice_.below(total_weight_);
        const Template* row = kTemplates.data();
        while (ticket >= row->weight) {
            ticket -= row->weight;
            ++row;
        }
        prefixes();
        if (row->map == 1) {
            emit(0x0f);
        }
        emit(row->first + dice_.below(row->count));
        switch (row->form) {
        case Form::none:
            break;
        case Form::modrm:
            modrm();
            break;
        case Form::modrm_imm8:
            modrm();
            emit(dice_.one_in(2) ? dice_.below(34) : dice_.next());
            break;
        case Form::modrm_imm:
            modrm();
            emit_int(corner(), operand32_ ? 4 : 2);
            break;
        case Form::imm8:
            emit(dice_.next());
            break;
        case Form::imm:
            emit_int(corner(), operand32_ ? 4 : 2);
            break;
        case Form::near_jump:
            emit(dice_.below(dice_.one_in(8) ? 256 : 24)); // mostly a little forward
            break;
        }
    }

    Dice& dice_;
    const Terrain& terrain_;
    std::size_t limit_;
    u32 total_weight_ = 0;
    std::vector<u8> code_;
    bool address32_ = false;
    bool operand32_ = false;
};

} // namespace

std::vector<u8> random_program(Dice& dice, const Terrain& terrain, std::size_t bytes)
{
    return Writer{dice, terrain, bytes}.run();
}

} // namespace emu::accel
