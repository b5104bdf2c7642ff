#include "emulator/hostio/terminal.hpp"

#include <cstdlib>
#include <termios.h>
#include <unistd.h>

namespace emu::hostio {

namespace {

// exit() takes no argument to its handlers, so what to restore must live here.
struct Saved {
    termios settings{};
    bool raw = false;
};

Saved& saved()
{
    static Saved state;
    return state;
}

void restore()
{
    if (saved().raw) {
        ::tcsetattr(STDIN_FILENO, TCSANOW, &saved().settings);
        saved().raw = false;
    }
}

} // namespace

bool RawTerminal::is_terminal()
{
    return ::isatty(STDIN_FILENO) == 1;
}

RawTerminal::RawTerminal(Signals signals)
{
    if (!is_terminal() || saved().raw || ::tcgetattr(STDIN_FILENO, &saved().settings) != 0) {
        return;
    }
    termios settings = saved().settings;
    settings.c_iflag &=
        ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    settings.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
    if (signals == Signals::pass) {
        settings.c_lflag &= ~static_cast<tcflag_t>(ISIG);
    }
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    std::atexit(restore);
    saved().raw = true;
    active_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &settings) == 0;
}

RawTerminal::~RawTerminal()
{
    if (active_) {
        restore();
    }
}

} // namespace emu::hostio
