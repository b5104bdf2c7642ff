#include "emulator/debug/monitor.hpp"

#include "emulator/debug/expression.hpp"

#include <charconv>
#include <fmt/format.h>

namespace emu::debug {

namespace {

constexpr std::size_t kAnyWords = 4096; // of an expression

std::string error_text(const base::Status& status)
{
    return status ? std::string{} : "Error: " + status.error().message + "\n";
}

} // namespace

std::span<const Monitor::Command> Monitor::commands()
{
    static constexpr Command kCommands[] = {
        {"help", "?", "[cmd]", "show the help", 0, 1, &Monitor::help},
        {"info", "", "[subcommand]", "show various information about the system state", 0, 2,
         &Monitor::info},
        {"screendump", "", "filename [-f format]",
         "save screen from head into PPM image or, with -f png, PNG image", 1, 3,
         &Monitor::screendump},
        {"pmemsave", "", "addr size file", "save to disk physical memory dump", 3, 3,
         &Monitor::pmemsave},
        {"memsave", "", "addr size file", "save to disk virtual memory dump", 3, 3,
         &Monitor::memsave},
        {"xp", "", "/fmt addr", "physical memory dump starting at 'addr'", 1, kAnyWords,
         &Monitor::examine_physical},
        {"x", "", "/fmt addr", "virtual memory dump starting at 'addr'", 1, kAnyWords,
         &Monitor::examine_linear},
        {"print", "p", "/fmt expr", "print expression value (use $reg for CPU register access)", 0,
         kAnyWords, &Monitor::print},
        {"sendkey", "", "keys [hold_ms]", "send keys to the VM (e.g. 'sendkey ctrl-alt-f1')", 1, 2,
         &Monitor::sendkey},
        {"mouse_move", "", "dx dy [dz]", "send mouse move events", 2, 3, &Monitor::mouse_move},
        {"mouse_button", "", "state", "change mouse button state (1=L, 2=M, 4=R)", 1, 1,
         &Monitor::mouse_button},
        {"stop", "s", "", "stop emulation", 0, 0, &Monitor::stop},
        {"cont", "c", "", "resume emulation", 0, 0, &Monitor::cont},
        {"system_reset", "", "", "reset the system", 0, 0, &Monitor::system_reset},
        {"system_powerdown", "", "", "send system power down event", 0, 0,
         &Monitor::system_powerdown},
        {"nmi", "", "", "inject an NMI", 0, 0, &Monitor::nmi},
        {"eject", "", "[-f] device", "eject a removable medium (use -f to force it)", 1, 2,
         &Monitor::eject},
        {"change", "", "device filename [format [read-only-mode]]", "change a removable medium", 2,
         4, &Monitor::change},
        {"quit", "q", "", "quit the emulator", 0, 0, &Monitor::quit},
    };
    return kCommands;
}

std::span<const Monitor::Command> Monitor::info_commands()
{
    static constexpr Command kCommands[] = {
        {"status", "", "", "show the current VM status (running|paused)", 0, 0,
         &Monitor::info_status},
        {"registers", "", "", "show the cpu registers", 0, 1, &Monitor::info_registers},
        {"cpus", "", "", "show infos for each CPU", 0, 0, &Monitor::info_cpus},
        {"pci", "", "", "show PCI info", 0, 0, &Monitor::info_board<BoardReport::pci>},
        {"pic", "", "", "show PIC state", 0, 0, &Monitor::info_board<BoardReport::pic>},
        {"irq", "", "", "show the interrupts statistics", 0, 0,
         &Monitor::info_board<BoardReport::irq>},
        {"qtree", "", "", "show device tree", 0, 0, &Monitor::info_board<BoardReport::qtree>},
        {"jit", "", "", "show the translator's figures", 0, 0, &Monitor::info_jit},
        {"block", "", "", "show the block devices", 0, 1, &Monitor::info_block},
        {"chardev", "", "", "show the character devices", 0, 0, &Monitor::info_chardev},
        {"mtree", "", "", "show memory tree", 0, 0, &Monitor::info_mtree},
        {"version", "", "", "show the version of the emulator", 0, 0, &Monitor::info_version},
        {"name", "", "", "show the current VM name", 0, 0, &Monitor::info_name},
        {"replay", "", "", "show record/replay information", 0, 0, &Monitor::info_replay},
    };
    return kCommands;
}

namespace {

const Monitor::Command* find(std::span<const Monitor::Command> commands, const std::string& name)
{
    for (const Monitor::Command& command : commands) {
        if (command.name == name || (!command.alias.empty() && command.alias == name)) {
            return &command;
        }
    }
    return nullptr;
}

std::string usage(const Monitor::Command& command)
{
    return fmt::format("{} {} -- {}\n", command.name, command.parameters, command.help);
}

} // namespace

base::Result<std::vector<std::string>> split_words(std::string_view line)
{
    std::vector<std::string> words;
    bool inside = false;
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (quoted) {
            if (c == '\\' && i + 1 < line.size()) {
                words.back() += line[++i];
            } else if (c == '"') {
                quoted = false;
            } else {
                words.back() += c;
            }
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            inside = false;
            continue;
        }
        if (!inside) {
            words.emplace_back();
            inside = true;
        }
        if (c == '"') {
            quoted = true;
        } else {
            words.back() += c;
        }
    }
    if (quoted) {
        return base::fail(base::Errc::invalid_argument, "a quotation mark is not closed");
    }
    return words;
}

base::Result<u64> Monitor::number(std::string_view expression) const
{
    Cpu& cpu = target_.machine->cpu();
    return evaluate(expression, [&cpu](std::string_view name) {
        return name == "pc" ? std::optional{cpu.program_counter()} : cpu.register_value(name);
    });
}

std::string Monitor::execute(std::string_view line)
{
    auto split = split_words(line);
    if (!split) {
        return "Error: " + split.error().message + "\n";
    }
    Words words = std::move(split).value();
    if (words.empty()) {
        return {};
    }
    // "xp/4x 0" is written without a blank as well.
    if (const std::size_t slash = words[0].find('/'); slash != std::string::npos && slash > 0) {
        words.insert(words.begin() + 1, words[0].substr(slash));
        words[0].resize(slash);
    }
    const Command* command = find(commands(), words[0]);
    if (command == nullptr) {
        return "unknown command: '" + words[0] + "'\n";
    }
    words.erase(words.begin());
    if (words.size() < command->least || words.size() > command->most) {
        return std::string{command->name} + ": wrong number of arguments\n" + usage(*command);
    }
    return (this->*command->run)(words);
}

std::string Monitor::help(const Words& words)
{
    if (!words.empty()) {
        const Command* command = find(commands(), words[0]);
        return command == nullptr ? "unknown command: '" + words[0] + "'\n" : usage(*command);
    }
    std::string text;
    for (const Command& command : commands()) {
        text += usage(command);
    }
    return text;
}

std::string Monitor::info(const Words& words)
{
    if (words.empty()) {
        std::string text;
        for (const Command& command : info_commands()) {
            text += "info " + usage(command);
        }
        return text;
    }
    const Command* command = find(info_commands(), words[0]);
    if (command == nullptr) {
        return "unknown command: 'info " + words[0] + "'\n";
    }
    return (this->*command->run)({words.begin() + 1, words.end()});
}

std::string Monitor::screendump(const Words& words)
{
    PictureFormat format = PictureFormat::ppm;
    std::string file;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i] == "-f" && i + 1 < words.size()) {
            ++i;
            if (words[i] != "png" && words[i] != "ppm") {
                return "Error: unknown picture format '" + words[i] + "' (png, ppm)\n";
            }
            format = words[i] == "png" ? PictureFormat::png : PictureFormat::ppm;
        } else {
            file = words[i];
        }
    }
    if (file.empty()) {
        return "screendump: no file name\n";
    }
    return error_text(debug::screendump(target_, file, format));
}

std::string Monitor::save(const Words& words, Addressing addressing)
{
    const auto address = number(words[0]);
    const auto size = number(words[1]);
    if (!address || !size) {
        return (address ? size : address).error().message + "\n";
    }
    return error_text(save_memory(target_, address.value(), size.value(), words[2], addressing));
}

std::string Monitor::pmemsave(const Words& words)
{
    return save(words, Addressing::physical);
}

std::string Monitor::memsave(const Words& words)
{
    return save(words, Addressing::linear);
}

/// Goes in as recorded input, as all that comes from outside.
std::string Monitor::nmi(const Words&)
{
    return error_text(inject_nmi(target_));
}

std::string Monitor::sendkey(const Words& words)
{
    auto keys = hostio::parse_chord(words[0]);
    if (!keys) {
        return keys.error().message + "\n";
    }
    const auto hold = words.size() > 1 ? number(words[1]) : base::Result<u64>{u64{100}};
    constexpr u64 kMaxHold = 100'000; // ms
    if (!hold || hold.value() > kMaxHold) {
        return "sendkey: the hold time is a number of milliseconds up to 100000\n";
    }
    keys_.send(std::move(keys).value(), hold.value());
    return {};
}

namespace {

std::optional<int> small_number(const std::string& text)
{
    int value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stop != end || value < -32768 || value > 32767) {
        return std::nullopt;
    }
    return value;
}

} // namespace

std::string Monitor::mouse_move(const Words& words)
{
    const auto dx = small_number(words[0]);
    const auto dy = small_number(words[1]);
    const auto dz = words.size() > 2 ? small_number(words[2]) : 0;
    if (!dx || !dy || !dz) {
        return "mouse_move: distances are numbers from -32768 to 32767\n";
    }
    target_.input->mouse(*dx, *dy, *dz, buttons_);
    return {};
}

std::string Monitor::mouse_button(const Words& words)
{
    const auto state = small_number(words[0]);
    if (!state || *state < 0 || *state > 7) {
        return "mouse_button: state is a sum of 1 (left), 2 (middle) and 4 (right)\n";
    }
    buttons_ = 0;
    const auto add = [&](int bit, hostio::MouseButton button) {
        buttons_ =
            static_cast<u8>((*state & bit) != 0 ? buttons_ | static_cast<u8>(button) : buttons_);
    };
    add(1, hostio::MouseButton::left);
    add(2, hostio::MouseButton::middle);
    add(4, hostio::MouseButton::right);
    target_.input->mouse(0, 0, 0, buttons_);
    return {};
}

std::string Monitor::stop(const Words&)
{
    target_.machine->pause();
    return {};
}

std::string Monitor::cont(const Words&)
{
    target_.machine->resume();
    return {};
}

std::string Monitor::system_reset(const Words&)
{
    target_.machine->host_reset();
    return {};
}

std::string Monitor::system_powerdown(const Words&)
{
    target_.machine->press_power();
    return {};
}

std::string Monitor::quit(const Words&)
{
    target_.machine->quit();
    return {};
}

std::string Monitor::eject(const Words& words)
{
    const bool force = words[0] == "-f";
    if (force != (words.size() == 2)) {
        return "eject: [-f] device\n";
    }
    const BlockSlot* slot = target_.find_block(words.back());
    if (slot == nullptr) {
        return "Error: Device '" + words.back() + "' not found\n";
    }
    if (!slot->eject) {
        return "Error: Device '" + slot->id + "' is not removable\n";
    }
    return error_text(slot->eject(force));
}

std::string Monitor::change(const Words& words)
{
    const BlockSlot* slot = target_.find_block(words[0]);
    if (slot == nullptr) {
        return "Error: Device '" + words[0] + "' not found\n";
    }
    if (!slot->change) {
        return "Error: Device '" + slot->id + "' is not removable\n";
    }
    const std::string mode = words.size() > 3 ? words[3] : "retain";
    if (mode != "retain" && mode != "read-only" && mode != "read-write") {
        return "Error: read-only-mode is one of retain, read-only, read-write\n";
    }
    const bool read_only = mode == "retain" ? slot->read_only : mode == "read-only";
    return error_text(slot->change(words[1], words.size() > 2 ? words[2] : "", read_only));
}

} // namespace emu::debug
