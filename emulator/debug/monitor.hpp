// The human monitor: QEMU's commands, as far as they apply.
#pragma once

#include "emulator/debug/target.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace emu::debug {

/// How memory or a number is shown: "/16xb".
struct DumpFormat {
    u64 count = 1;
    char style = 'x';  // x d u o c i
    unsigned size = 4; // bytes
};

class Monitor {
public:
    explicit Monitor(Target& target) : target_{target}, keys_{target} {}

    /// One command line; the answer, empty or with a line feed at its end. Machine thread.
    std::string execute(std::string_view line);

    KeySender& keys() { return keys_; }

    /// The mouse buttons held by monitors and control sockets.
    u8& buttons() { return buttons_; }

    using Words = std::vector<std::string>;
    struct Command {
        std::string_view name;
        std::string_view alias; // or empty
        std::string_view parameters;
        std::string_view help;
        std::size_t least; // words after the name
        std::size_t most;
        std::string (Monitor::*run)(const Words& words);
    };
    static std::span<const Command> commands();
    static std::span<const Command> info_commands();

private:
    std::string help(const Words& words);
    std::string info(const Words& words);
    std::string screendump(const Words& words);
    std::string pmemsave(const Words& words);
    std::string memsave(const Words& words);
    std::string examine_physical(const Words& words);
    std::string examine_linear(const Words& words);
    std::string examine(const Words& words, Addressing addressing);
    std::string print(const Words& words);
    std::string nmi(const Words& words);
    std::string sendkey(const Words& words);
    std::string mouse_move(const Words& words);
    std::string mouse_button(const Words& words);
    std::string stop(const Words& words);
    std::string cont(const Words& words);
    std::string system_reset(const Words& words);
    std::string system_powerdown(const Words& words);
    std::string quit(const Words& words);
    std::string eject(const Words& words);
    std::string change(const Words& words);

    struct Examined {
        DumpFormat format;
        u64 value = 0;
    };
    base::Result<Examined> parse_examined(const Words& words) const;
    std::string examine_data(const DumpFormat& format, u64 address, Addressing addressing) const;
    std::string examine_code(u64 count, u64 address, Addressing addressing) const;
    base::Result<u64> number(std::string_view expression) const;
    std::string save(const Words& words, Addressing addressing);

    std::string info_status(const Words& words);
    std::string info_registers(const Words& words);
    std::string info_jit(const Words& words);
    std::string info_block(const Words& words);
    std::string info_chardev(const Words& words);
    std::string info_mtree(const Words& words);
    std::string info_version(const Words& words);
    std::string info_name(const Words& words);
    std::string info_replay(const Words& words);
    std::string info_cpus(const Words& words);
    /// What the board tells about a part of it.
    template <BoardReport report>
    std::string info_board(const Words& words);

    Target& target_;
    KeySender keys_;
    u8 buttons_ = 0;
};

/// Splits a command line; double quotes keep blanks together, \" and \\ inside them.
base::Result<std::vector<std::string>> split_words(std::string_view line);

} // namespace emu::debug
