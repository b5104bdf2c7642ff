// Runs a script against a machine: an automaton that is stepped each 10 ms of guest time.
//
// It reads the guest's screen and serial output and sends input; it never changes anything else, so
// a run with a script is a function of the machine, the media and the script alone.
#pragma once

#include "emulator/devices/display/display_source.hpp"
#include "emulator/hostio/guest_input.hpp"
#include "emulator/script/script.hpp"
#include "emulator/script/serial_record.hpp"

#include <functional>
#include <string>
#include <vector>

namespace emu::script {

inline constexpr u64 kPollPeriodNs = 10'000'000;

/// The machine as scripts see it. All functions are called on the machine's thread.
struct Target {
    DisplaySource* display = nullptr; // null: there is none, screens are empty
    hostio::GuestInput* input = nullptr;
    std::function<bool()> keyboard_ready; // the guest has taken all keys so far
    std::function<bool()> mouse_ready;
    std::function<u64()> disk_activity; // counts commands; only changes matter
    std::vector<SerialRecord*> serial;
    std::function<u64()> now_ns;
};

enum class StepResult : u8 { not_run, passed, failed };

struct StepRecord {
    StepResult result = StepResult::not_run;
    u64 began_ns = 0;
    u64 ended_ns = 0;
    std::vector<u8> picture; // PNG; screenshots only
    std::string picture_text;
};

class Engine {
public:
    Engine(Script script, Target target);

    /// One look; returns true when the run is over. Machine thread.
    bool poll();

    /// From outside: the run cannot go on (guest switched off, host limit). Ignored when over.
    void fail(const std::string& reason);

    bool over() const { return over_; }
    bool passed() const { return over_ && reason_.empty(); }
    const std::string& reason() const { return reason_; }
    const Script& script() const { return script_; }
    const std::vector<StepRecord>& records() const { return records_; }

    /// The screen's text now; empty in graphics modes.
    std::string screen_text() const;
    Frame picture() const;
    bool in_text_mode() const;

private:
    enum class Progress : u8 { waiting, passed, failed };

    void begin_step();
    Progress run_step(const Step& step);
    Progress wait(const Step& step, bool seen);
    Progress send_input(const Step& step);
    bool ready_for(const InputAction& action) const;
    void send(const InputAction& action);
    bool serial_seen(const Step& step);
    bool image_seen(const Step& step) const;
    bool idle_seen(const Step& step);
    bool on_screen(const std::string& text) const;
    bool screen_changed();
    std::string describe(const Step& step) const;

    Script script_;
    Target target_;
    std::vector<StepRecord> records_;
    std::size_t current_ = 0;
    bool begun_ = false;
    bool over_ = false;
    std::string reason_;
    std::vector<std::string> forbidden_;

    std::size_t next_input_ = 0;
    u64 last_input_ns_ = 0;
    u64 last_progress_ns_ = 0;
    u8 buttons_ = 0;

    std::vector<std::size_t> serial_from_; // where each port's next search begins
    u64 idle_since_ns_ = 0;
    u64 seen_activity_ = 0;
    std::optional<TextScreen> seen_text_;
    Frame seen_frame_;
};

} // namespace emu::script
