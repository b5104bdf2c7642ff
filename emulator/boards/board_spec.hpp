// What a board is, as data: memory, port ranges and interrupt wires, checked by the compiler.
#pragma once

#include "emulator/machine/port_space.hpp"

#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace emu::boards {

using base::u16;
using base::u32;
using base::u64;

/// Guest physical addresses [base, base + size) that have one meaning on every machine of the kind.
struct MemorySpec {
    std::string_view name;
    u64 base;
    u64 size; // bytes
};

/// I/O ports [first, first + count) of one device; a device may have several rows.
struct PortSpec {
    std::string_view device;
    u16 first;
    u16 count;
    PortBus bus = PortBus::isa;
};

/// The ISA interrupt that an output of a device drives.
struct IrqSpec {
    std::string_view source;
    unsigned irq;
};

struct BoardSpec {
    std::string_view name;
    std::string_view description;
    std::string_view default_cpu;
    std::span<const MemorySpec> memories;
    std::span<const PortSpec> ports;
    std::span<const IrqSpec> irqs;
};

enum class BoardFault { empty_range, memory_overlap, port_overlap, bad_irq, duplicate_source };

/// The first thing wrong with a board, or nothing.
constexpr std::optional<BoardFault> find_fault(const BoardSpec& board)
{
    for (std::size_t i = 0; i < board.memories.size(); ++i) {
        const MemorySpec& a = board.memories[i];
        if (a.size == 0) {
            return BoardFault::empty_range;
        }
        for (std::size_t j = i + 1; j < board.memories.size(); ++j) {
            const MemorySpec& b = board.memories[j];
            if (a.base < b.base + b.size && b.base < a.base + a.size) {
                return BoardFault::memory_overlap;
            }
        }
    }
    for (std::size_t i = 0; i < board.ports.size(); ++i) {
        const PortSpec& a = board.ports[i];
        if (a.count == 0 || u32{a.first} + a.count > 0x1'0000) {
            return BoardFault::empty_range;
        }
        for (std::size_t j = i + 1; j < board.ports.size(); ++j) {
            const PortSpec& b = board.ports[j];
            if (a.first < b.first + b.count && b.first < a.first + a.count) {
                return BoardFault::port_overlap;
            }
        }
    }
    for (std::size_t i = 0; i < board.irqs.size(); ++i) {
        if (board.irqs[i].irq > 15 || board.irqs[i].irq == 2) {
            return BoardFault::bad_irq;
        }
        for (std::size_t j = i + 1; j < board.irqs.size(); ++j) {
            if (board.irqs[i].source == board.irqs[j].source) {
                return BoardFault::duplicate_source;
            }
        }
    }
    return std::nullopt;
}

} // namespace emu::boards
