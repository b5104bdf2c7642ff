// The picture on its way from the machine's thread to windows and terminals.
#pragma once

#include "emulator/devices/display/display_source.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace emu::hostio {

/// One look at the guest's screen; never changed after it was published.
struct ScreenShot {
    Frame frame;
    std::optional<TextScreen> text;
    std::string mode;
    std::string state; // "running", "paused" …
};

class DisplayFeed {
public:
    /// Machine thread: reads the guest's picture and shows it to whoever waits.
    void publish(DisplaySource& source, std::string_view state);

    /// Any thread: the newest picture, or nothing before the first.
    std::shared_ptr<const ScreenShot> latest() const;

    /// Any thread: waits for a picture other than `seen`, at most `limit`.
    std::shared_ptr<const ScreenShot> wait_for_other(const ScreenShot* seen,
                                                     std::chrono::milliseconds limit) const;

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::shared_ptr<const ScreenShot> latest_;
};

} // namespace emu::hostio
