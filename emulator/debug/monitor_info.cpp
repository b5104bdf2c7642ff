// The monitor's info commands.
#include "emulator/debug/monitor.hpp"
#include "emulator/machine/port_space.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <unistd.h>

namespace emu::debug {

namespace {

std::string size_text(u64 bytes)
{
    return bytes >= (u64{1} << 20) ? fmt::format("{} MiB", bytes >> 20)
                                   : fmt::format("{} KiB", bytes >> 10);
}

} // namespace

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
                                slot->has_open_tray() ? "open" : "closed");
        }
    }
    if (text.empty() && !words.empty()) {
        return "Error: Device '" + words[0] + "' not found\n";
    }
    return text;
}

std::string Monitor::info_cpus(const Words&)
{
    return fmt::format("* CPU #0: thread_id={}\n", ::gettid());
}

template <BoardReport report>
std::string Monitor::info_board(const Words&)
{
    return target_.board_report ? target_.board_report(report) : std::string{};
}

template std::string Monitor::info_board<BoardReport::pci>(const Words&);
template std::string Monitor::info_board<BoardReport::pic>(const Words&);
template std::string Monitor::info_board<BoardReport::irq>(const Words&);
template std::string Monitor::info_board<BoardReport::qtree>(const Words&);

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
