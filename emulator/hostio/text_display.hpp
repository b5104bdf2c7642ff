// The guest's text screen in the program's own terminal: `--display text`.
#pragma once

#include "emulator/hostio/display_feed.hpp"
#include "emulator/hostio/guest_input.hpp"

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace emu::hostio {

/// ANSI sequences that turn a terminal that shows `before` (null: anything) into one that shows
/// `now`. Colours are the 16 of a VGA, the cursor is placed.
std::string draw_text(const TextScreen* before, const TextScreen& now);

/// Bytes of an ANSI terminal as keys pressed and released on a PC keyboard.
class TerminalKeys {
public:
    explicit TerminalKeys(GuestInput& input) : input_{input} {}
    /// One read's bytes; a lone ESC at the end of them is the Escape key.
    void feed(std::string_view bytes);

private:
    std::size_t sequence(std::string_view bytes);
    void press(KeyStroke stroke, bool ctrl, bool alt);

    GuestInput& input_;
};

/// Its own thread. Ctrl-A x ends the program, Ctrl-A Ctrl-A sends Ctrl-A.
class TextDisplay {
public:
    TextDisplay(DisplayFeed& feed, GuestInput& input, std::function<void()> on_quit);
    ~TextDisplay();

private:
    void run();
    void read_keys();

    DisplayFeed& feed_;
    TerminalKeys keys_;
    std::function<void()> on_quit_;
    bool escaped_ = false;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

} // namespace emu::hostio
