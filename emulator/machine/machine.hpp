// The machine's run loop: who runs when, and how guest time relates to wall time.
//
// One thread owns the machine and calls run(); all others post to its mailbox or its input door.
// Guest code runs in slices that end at the next timer, replayed input or host poll. How time is
// cut into slices never changes what a guest computes: timers fire at exact instruction counts,
// and input from outside is stamped with the count at which it went in.
#pragma once

#include "emulator/machine/clock.hpp"
#include "emulator/machine/cpu.hpp"
#include "emulator/machine/input_door.hpp"
#include "emulator/machine/mailbox.hpp"
#include "emulator/machine/state_hash.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace emu {

class RamBlock;

/// What devices ask of the machine while guest code runs; the CPU is told to stop as well.
enum class BoardEvent : u8 { none, cpu_reset, machine_reset, power_off };

/// What a board hands to its machine. All of it outlives the machine.
struct MachineParts {
    Clock& clock;
    Cpu& cpu;
    std::vector<Device*> devices; // without the CPU; the order of resets and of the state hash
    std::vector<RamBlock*> ram;
    struct NamedDisk {
        std::string name;
        img::Disk* disk;
    };
    std::function<std::vector<NamedDisk>()> disks; // what is in the drives now; empty: none
    std::function<void()> reset;        // the whole board with its CPU; empty: each device in turn
    std::function<void()> power_button; // empty: the board has none
    std::function<BoardEvent()> take_event; // what devices asked for; empty: never anything
};

enum class Pacing : u8 {
    paced,       // guest time is never ahead of wall time, and sleeps when the guest idles
    free_running // never sleeps
};

enum class RunState : u8 { prelaunch, running, paused, shutdown };
std::string_view to_string(RunState state);

enum class MachineEvent : u8 { stop, resume, reset, powerdown, shutdown };

/// Who brought an event about. A shutdown may be a reset that was not to happen (`reboot` = false).
enum class EventCause : u8 { host, host_reset, guest_reset, guest_shutdown };

struct MachineOptions {
    Pacing pacing = Pacing::paced;
    u64 stop_at = Clock::kNever; // instructions
    bool start_paused = false;
    bool reboot = true;           // false: a reset ends the run
    bool quit_on_shutdown = true; // false: a guest's power-off pauses the machine
    bool live_input = true;       // someone may still post input: an idle machine waits for it
};

struct RunOutcome {
    enum class Reason : u8 {
        quit,           // asked for from outside
        guest_shutdown, // the guest switched itself off
        guest_reset,    // with reboot = false
        host_reset,     // likewise
        stop_at,        // the asked-for instruction is reached
        halted_forever, // nothing can wake the CPU any more
        replay_end,     // the recorded run ended here
        failed          // `message` says why
    };
    Reason reason = Reason::quit;
    std::string message;
};

class Machine : private InputSink {
public:
    using Nanoseconds = std::chrono::nanoseconds;

    /// The door's sinks may be added before run().
    Machine(MachineParts parts, MachineOptions options);

    /// Until something ends it. Machine thread; call once.
    RunOutcome run();

    // Any thread. The machine acts at the next border between two slices.
    void quit();
    void pause();
    void resume();
    void host_reset();  // recorded as input
    void press_power(); // recorded as input
    void post(Mailbox::Task task) { mailbox_.post(std::move(task)); }

    // The board, on the machine's thread while guest code runs.
    void guest_reset();
    void guest_shutdown();

    // The machine's thread.
    void finish(RunOutcome outcome);
    RunState state() const { return state_; }
    Clock& clock() { return parts_.clock; }
    Cpu& cpu() { return parts_.cpu; }
    InputDoor& door() { return door_; }
    const MachineParts& parts() const { return parts_; }
    const MachineOptions& options() const { return options_; }
    base::Result<Sha256> state_hash();
    /// All that the guest can see, in a fixed order.
    base::Status visit_all(WholeStateVisitor& visitor);

    /// Calls `poll` each `period_ns` of guest time, after the timers of that moment. At most one.
    void set_poller(u64 period_ns, std::function<void()> poll);

    /// Calls `tick` about each `period` of wall time, also while paused. It reads the guest only.
    void set_host_tick(Nanoseconds period, std::function<void()> tick);

    /// Called on the machine's thread.
    using EventListener = std::function<void(MachineEvent event, EventCause cause)>;
    void add_event_listener(EventListener listener) { listeners_.push_back(std::move(listener)); }

    static constexpr const char* kSinkName = "machine";

private:
    using TimePoint = Mailbox::TimePoint;

    void deliver(std::span<const u8> payload) override;
    void between_slices(Mailbox::Task task);
    void post_own_input(u8 what);
    void border();
    void advance();
    void idle();
    void idle_without_deadline();
    bool wait_for_wall_time();
    void rebase_pacing();
    void collect_event();
    void apply_pending();
    void reset_board();
    void wait_while_paused();
    void run_host_tick();
    void flush_disks_in_time();
    TimePoint clip_to_tick(TimePoint until) const;
    TimePoint wall_at(u64 guest_ns) const;
    u64 guest_at(TimePoint wall) const;
    void emit(MachineEvent event, EventCause cause);
    void shut_down(RunOutcome outcome, EventCause cause);
    void change_state(RunState state);
    bool replay_is_late() const;

    MachineParts parts_;
    MachineOptions options_;
    InputDoor door_;
    Mailbox mailbox_;
    std::thread::id thread_;
    RunState state_ = RunState::running;
    std::optional<RunOutcome> outcome_;
    bool reset_pending_ = false;
    bool shutdown_pending_ = false;

    std::optional<Timer> poll_timer_;
    std::function<void()> poll_;
    u64 poll_period_ns_ = 0;
    bool poll_due_ = false;

    std::function<void()> tick_;
    Nanoseconds tick_period_{0};
    TimePoint next_tick_ = TimePoint::max();
    TimePoint next_flush_{};

    TimePoint pace_wall_{};
    u64 pace_guest_ns_ = 0;
    u64 slice_ = 1; // instructions
    std::vector<EventListener> listeners_;
};

} // namespace emu
