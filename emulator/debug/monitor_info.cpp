// The monitor's commands that only look: info and memory dumps.
#include "emulator/debug/monitor.hpp"
#include "emulator/machine/port_space.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace emu::debug {

namespace {

struct DumpFormat {
    u64 count = 1;
    char style = 'x';  // x d u o c
    unsigned size = 4; // bytes
};

/// "/16xb": a count, a style and a size (b, h, w, g), in QEMU's order.
base::Result<DumpFormat> parse_format(const std::string& text)
{
    DumpFormat format;
    std::size_t at = 1;
    std::size_t digits = at;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
        ++digits;
    }
    if (digits > at) {
        std::from_chars(text.data() + at, text.data() + digits, format.count);
    }
    constexpr u64 kMaxItems = 65536;
    if (format.count == 0 || format.count > kMaxItems) {
        return base::fail(base::Errc::invalid_argument, "the count is a number up to 65536");
    }
    for (const char c : std::string_view{text}.substr(digits)) {
        switch (c) {
        case 'x':
        case 'd':
        case 'u':
        case 'o':
        case 'c':
            format.style = c;
            break;
        case 'b':
            format.size = 1;
            break;
        case 'h':
            format.size = 2;
            break;
        case 'w':
            format.size = 4;
            break;
        case 'g':
            format.size = 8;
            break;
        case 'i':
            return base::fail(base::Errc::unsupported, "format 'i': there is no disassembler yet");
        default:
            return base::fail(base::Errc::invalid_argument,
                              std::string{"invalid char in format: '"} + c + "'");
        }
    }
    return format;
}

std::string item_text(const DumpFormat& format, u64 value)
{
    switch (format.style) {
    case 'd': {
        const unsigned shift = 64 - 8 * format.size;
        return fmt::format("{}", static_cast<base::i64>(value << shift) >> shift);
    }
    case 'u':
        return fmt::format("{}", value);
    case 'o':
        return fmt::format("{:#o}", value);
    case 'c': {
        const char c = static_cast<char>(value);
        return c >= 0x20 && c < 0x7f ? fmt::format("'{}'", c)
                                     : fmt::format("'\\x{:02x}'", value & 0xff);
    }
    default:
        return fmt::format("0x{:0{}x}", value, format.size * 2);
    }
}

std::string size_text(u64 bytes)
{
    return bytes >= (u64{1} << 20) ? fmt::format("{} MiB", bytes >> 20)
                                   : fmt::format("{} KiB", bytes >> 10);
}

} // namespace

std::string Monitor::examine_physical(const Words& words)
{
    return examine(words, Addressing::physical);
}

std::string Monitor::examine_linear(const Words& words)
{
    return examine(words, Addressing::linear);
}

std::string Monitor::examine(const Words& words, Addressing addressing)
{
    DumpFormat format;
    if (words[0].starts_with("/")) {
        auto parsed = parse_format(words[0]);
        if (!parsed || words.size() < 2) {
            return (parsed ? "no address" : parsed.error().message) + "\n";
        }
        format = parsed.value();
    }
    auto address = parse_expression(words.back(), target_.machine->cpu().program_counter());
    if (!address) {
        return "invalid address: '" + words.back() + "'\n";
    }
    const u64 per_line = format.style == 'c' ? 16 : std::max<u64>(1, 16 / format.size);
    std::string text;
    for (u64 done = 0; done < format.count; ++done) {
        std::array<u8, 8> bytes{};
        const auto item = std::span{bytes}.first(format.size);
        if (auto read = read_memory(target_, *address, item, addressing); !read) {
            return text + (text.empty() || text.back() == '\n' ? "" : "\n") + read.error().message +
                   "\n";
        }
        u64 value = 0;
        for (unsigned i = 0; i < format.size; ++i) {
            value |= u64{bytes[i]} << (8 * i);
        }
        if (done % per_line == 0) {
            text += fmt::format("{}{:0{}x}:", done == 0 ? "" : "\n", *address,
                                addressing == Addressing::physical ? 16 : 8);
        }
        text += " " + item_text(format, value);
        *address += format.size;
    }
    return text + "\n";
}

std::string Monitor::info_status(const Words&)
{
    const RunState state = target_.machine->state();
    std::string text = state == RunState::running ? "VM status: running" : "VM status: paused";
    if (state == RunState::prelaunch || state == RunState::shutdown) {
        text += fmt::format(" ({})", to_string(state));
    }
    return text + "\n";
}

std::string Monitor::info_registers(const Words&)
{
    return target_.machine->cpu().registers_text();
}

std::string Monitor::info_jit(const Words&)
{
    return target_.machine->cpu().translator_text();
}

std::string Monitor::info_block(const Words& words)
{
    std::string text;
    for (const BlockSlot* slot : target_.blocks) {
        if (!words.empty() && words[0] != slot->id) {
            continue;
        }
        if (slot->empty()) {
            text += slot->id + ": [not inserted]\n";
        } else {
            text += fmt::format("{}: {} ({}{})\n", slot->id, slot->file, slot->format,
                                slot->read_only ? ", read-only" : "");
            text += fmt::format("    Size:             {} bytes\n", slot->size);
        }
        text += fmt::format("    Attached to:      {}\n", slot->driver);
        if (slot->removable) {
            const bool locked = slot->locked && slot->locked();
            text += fmt::format("    Removable device: {}locked, tray {}\n", locked ? "" : "not ",
                                slot->empty() ? "open" : "closed");
        }
    }
    if (text.empty() && !words.empty()) {
        return "Error: Device '" + words[0] + "' not found\n";
    }
    return text;
}

std::string Monitor::info_chardev(const Words&)
{
    std::string text;
    for (const CharSlot& slot : target_.chars ? target_.chars() : std::vector<CharSlot>{}) {
        text += fmt::format("{}: filename={}\n", slot.label, slot.description);
    }
    return text;
}

std::string Monitor::info_mtree(const Words&)
{
    std::string text = "address-space: memory\n";
    std::vector<const AddressSpace::Region*> regions;
    for (const AddressSpace::Region& region : target_.memory->regions()) {
        regions.push_back(&region);
    }
    std::stable_sort(regions.begin(), regions.end(),
                     [](const auto* a, const auto* b) { return a->base < b->base; });
    for (const AddressSpace::Region* region : regions) {
        const bool ram = region->block != nullptr;
        const char* kind = !ram                                                ? "i/o"
                           : region->access == AddressSpace::Access::read_only ? "rom"
                                                                               : "ram";
        text += fmt::format("  {:016x}-{:016x} (prio {}, {}): {}{}\n", region->base,
                            region->base + region->size - 1, region->priority, kind,
                            ram ? region->block->name() : region->name,
                            region->enabled ? "" : " [disabled]");
    }
    if (target_.ports != nullptr) {
        text += "address-space: I/O\n";
        for (const PortSpace::Mapping& mapping : target_.ports->mappings()) {
            text += fmt::format("  {:04x}-{:04x}: {}\n", mapping.first,
                                mapping.first + mapping.count - 1, mapping.name);
        }
    }
    u64 total = 0;
    for (RamBlock* block : target_.machine->parts().ram) {
        total += block->size();
        text += fmt::format("block {}: {}\n", block->name(), size_text(block->size()));
    }
    return text + "all blocks: " + size_text(total) + "\n";
}

std::string Monitor::info_version(const Words&)
{
    return "Menagerie emulator 0.1.0\n";
}

std::string Monitor::info_name(const Words&)
{
    return target_.name.empty() ? std::string{} : target_.name + "\n";
}

std::string Monitor::info_replay(const Words&)
{
    InputDoor& door = target_.machine->door();
    const char* mode = door.replaying() ? "Replaying" : door.recording() ? "Recording" : nullptr;
    if (mode == nullptr) {
        return "Record/replay is not active\n";
    }
    return fmt::format("{} execution: instruction count = {}\n", mode,
                       target_.machine->clock().instructions_now());
}

} // namespace emu::debug
