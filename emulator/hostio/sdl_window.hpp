// The guest's screen in a window, with its keyboard and mouse: `-display sdl`.
#pragma once

#include "base/result.hpp"
#include "emulator/hostio/display_feed.hpp"
#include "emulator/hostio/guest_input.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace emu::hostio {

struct WindowOptions {
    std::string name; // the machine's, for the title
    bool full_screen = false;
    std::function<void()> on_quit; // the window was closed; called on the window's thread
};

/// Its own thread. Ctrl+Alt+G takes or frees the mouse (so does a click), Ctrl+Alt+F switches to
/// the full screen and back, Ctrl+Alt+U gives the window the picture's size again.
class SdlWindow {
public:
    /// Fails when there is no display to open a window on.
    static base::Result<std::unique_ptr<SdlWindow>> open(DisplayFeed& feed, GuestInput& input,
                                                         WindowOptions options);
    ~SdlWindow();

private:
    SdlWindow(DisplayFeed& feed, GuestInput& input, WindowOptions options);
    void run();

    DisplayFeed& feed_;
    GuestInput& input_;
    WindowOptions options_;
    std::atomic<bool> stopping_ = false;
    enum class Start : u8 { pending, done, failed };
    std::atomic<Start> start_ = Start::pending;
    std::string error_;
    std::thread thread_;
};

} // namespace emu::hostio
