#include "emulator/hostio/text_display.hpp"

#include "emulator/hostio/code_page.hpp"
#include "emulator/hostio/terminal.hpp"

#include <array>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace emu::hostio {

namespace {

using namespace std::chrono_literals;

constexpr char kEscape = '\x1b';
constexpr char kCommand = '\x01'; // Ctrl-A

/// VGA counts blue, green, red from bit 0; ANSI counts red, green, blue.
constexpr std::array<int, 8> kAnsiColour{0, 4, 2, 6, 1, 5, 3, 7};

std::string colours(u8 attribute)
{
    const int foreground = kAnsiColour[attribute & 7] + ((attribute & 8) != 0 ? 90 : 30);
    const int background = kAnsiColour[(attribute >> 4) & 7] + 40; // bit 7 blinks: not shown
    return fmt::format("\x1b[0;{};{}m", foreground, background);
}

void write_all(std::string_view text)
{
    while (!text.empty()) {
        const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written <= 0) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

struct Sequence {
    std::string_view text; // after ESC
    std::string_view key;
};

// ECMA-48 and xterm's control sequences (ctlseqs, "PC-Style Function Keys").
constexpr Sequence kSequences[] = {
    {"[A", "up"},      {"[B", "down"},  {"[C", "right"}, {"[D", "left"},  {"[H", "home"},
    {"[F", "end"},     {"OA", "up"},    {"OB", "down"},  {"OC", "right"}, {"OD", "left"},
    {"OH", "home"},    {"OF", "end"},   {"OP", "f1"},    {"OQ", "f2"},    {"OR", "f3"},
    {"OS", "f4"},      {"[11~", "f1"},  {"[12~", "f2"},  {"[13~", "f3"},  {"[14~", "f4"},
    {"[15~", "f5"},    {"[17~", "f6"},  {"[18~", "f7"},  {"[19~", "f8"},  {"[20~", "f9"},
    {"[21~", "f10"},   {"[23~", "f11"}, {"[24~", "f12"}, {"[1~", "home"}, {"[2~", "insert"},
    {"[3~", "delete"}, {"[4~", "end"},  {"[5~", "pgup"}, {"[6~", "pgdn"}, {"[[A", "f1"},
    {"[[B", "f2"},     {"[[C", "f3"},   {"[[D", "f4"},   {"[[E", "f5"},
};

} // namespace

std::string draw_text(const TextScreen* before, const TextScreen& now)
{
    const bool all =
        before == nullptr || before->columns != now.columns || before->rows != now.rows;
    std::string out = "\x1b[?25l";
    if (all) {
        out += "\x1b[0m\x1b[2J";
    }
    for (u32 row = 0; row < now.rows; ++row) {
        u32 drawn_to = ~u32{0};
        int attribute = -1;
        for (u32 column = 0; column < now.columns; ++column) {
            const std::size_t at = std::size_t{row} * now.columns + column;
            if (!all && before->characters[at] == now.characters[at] &&
                before->attributes[at] == now.attributes[at]) {
                continue;
            }
            if (drawn_to != column) {
                out += fmt::format("\x1b[{};{}H", row + 1, column + 1);
            }
            if (attribute != now.attributes[at]) {
                attribute = now.attributes[at];
                out += colours(now.attributes[at]);
            }
            out += code_page_437(now.characters[at]);
            drawn_to = column + 1;
        }
    }
    out += fmt::format("\x1b[0m\x1b[{};{}H", now.cursor_row + 1, now.cursor_column + 1);
    if (now.cursor_visible) {
        out += "\x1b[?25h";
    }
    return out;
}

void TerminalKeys::press(KeyStroke stroke, bool ctrl, bool alt)
{
    const std::array<std::pair<bool, KeyCode>, 3> modifiers{
        {{ctrl, kKeyLeftCtrl}, {alt, kKeyLeftAlt}, {stroke.shift, kKeyLeftShift}}};
    for (const auto& [held, key] : modifiers) {
        if (held) {
            input_.key(key, true);
        }
    }
    input_.key(stroke.code, true);
    input_.key(stroke.code, false);
    for (const auto& [held, key] : modifiers) {
        if (held) {
            input_.key(key, false);
        }
    }
}

std::size_t TerminalKeys::sequence(std::string_view bytes)
{
    for (const Sequence& known : kSequences) {
        if (bytes.starts_with(known.text)) {
            press({*find_key(known.key), false}, false, false);
            return known.text.size();
        }
    }
    if (!bytes.empty() && bytes[0] != '[' && bytes[0] != 'O') {
        if (const auto stroke = us_key(bytes[0])) {
            press(*stroke, false, true); // Alt sends ESC first
            return 1;
        }
    }
    press({*find_key("esc"), false}, false, false);
    return 0;
}

void TerminalKeys::feed(std::string_view bytes)
{
    while (!bytes.empty()) {
        const char byte = bytes[0];
        bytes.remove_prefix(1);
        if (byte == kEscape) {
            bytes.remove_prefix(sequence(bytes));
        } else if (byte == '\r') {
            press(*us_key('\n'), false, false);
        } else if (byte == '\x7f') {
            press(*us_key('\b'), false, false);
        } else if (const auto stroke = us_key(byte); stroke && byte != '\n' && byte != '\b') {
            press(*stroke, false, false);
        } else if (byte > 0 && byte <= 26) {
            press(*us_key(static_cast<char>('a' + byte - 1)), true, false);
        }
    }
}

TextDisplay::TextDisplay(DisplayFeed& feed, GuestInput& input, std::function<void()> on_quit)
    : feed_{feed}, keys_{input}, on_quit_{std::move(on_quit)}, thread_{[this] { run(); }}
{}

TextDisplay::~TextDisplay()
{
    stopping_ = true;
    thread_.join();
}

void TextDisplay::read_keys()
{
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    char buffer[256];
    if (::poll(&waiting, 1, 0) != 1) {
        return;
    }
    const auto got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    std::string plain;
    for (const char byte : std::string_view{buffer, static_cast<std::size_t>(got > 0 ? got : 0)}) {
        if (escaped_) {
            escaped_ = false;
            if (byte == 'x') {
                on_quit_();
            } else if (byte == kCommand) {
                plain += byte;
            }
        } else if (byte == kCommand) {
            escaped_ = true;
        } else {
            plain += byte;
        }
    }
    keys_.feed(plain);
}

void TextDisplay::run()
{
    const RawTerminal raw{RawTerminal::Signals::pass};
    std::shared_ptr<const ScreenShot> shown;
    write_all("\x1b[?1049h\x1b[2J\x1b[H");
    while (!stopping_) {
        read_keys();
        const auto next = feed_.wait_for_other(shown.get(), 20ms);
        if (!next || next == shown) {
            continue;
        }
        if (next->text) {
            const bool had_text = shown && shown->text;
            write_all(draw_text(had_text ? &*shown->text : nullptr, *next->text));
        } else {
            write_all(fmt::format("\x1b[0m\x1b[2J\x1b[H[graphics mode: {}]", next->mode));
        }
        shown = next;
    }
    write_all("\x1b[0m\x1b[?25h\x1b[?1049l");
}

} // namespace emu::hostio
