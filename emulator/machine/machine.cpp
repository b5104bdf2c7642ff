#include "emulator/machine/machine.hpp"

#include "imgtool/disk.hpp"

#include <algorithm>
#include <array>

namespace emu {

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

// Guest time between two looks at the host.
constexpr u64 kSlicesPerSecond = 1000;

// How much a slow stretch may be caught up on before guest time is let fall behind for good.
constexpr auto kMaxLag = 20ms;

using Reason = RunOutcome::Reason;

constexpr u8 kResetPayload = 'R';
constexpr u8 kPowerPayload = 'P';

} // namespace

std::string_view to_string(RunState state)
{
    constexpr std::array<std::string_view, 4> kNames{"prelaunch", "running", "paused", "shutdown"};
    return kNames[static_cast<std::size_t>(state)];
}

Machine::Machine(MachineParts parts, MachineOptions options)
    : parts_{std::move(parts)}, options_{options}
{
    slice_ = std::max<u64>(1, parts_.clock.instructions_per_second() / kSlicesPerSecond);
    door_.add_sink(kSinkName, *this);
    door_.set_waker([this] { mailbox_.wake(); });
    parts_.clock.set_deadline_listener([this] { parts_.cpu.request_stop(); });
    state_ = options_.start_paused ? RunState::prelaunch : RunState::running;
}

RunOutcome Machine::run()
{
    thread_ = std::this_thread::get_id();
    rebase_pacing();
    while (!outcome_) {
        mailbox_.run_pending();
        run_host_tick();
        if (!outcome_ && state_ != RunState::running) {
            wait_while_paused();
            continue;
        }
        if (outcome_) {
            break;
        }
        if (parts_.clock.instructions_now() >= options_.stop_at) {
            finish({Reason::stop_at, {}});
            break;
        }
        border();
        collect_event();
        const bool running = !outcome_ && state_ == RunState::running;
        if (running && !reset_pending_ && !shutdown_pending_ && !poll_due_) {
            advance();
        }
    }
    if (auto closed = door_.finish(parts_.clock.instructions_now()); !closed) {
        outcome_ = RunOutcome{Reason::failed, closed.error().message};
    }
    return *outcome_;
}

/// All that happens at one point of guest time, in a fixed order: resets, timers, polls, input.
void Machine::border()
{
    apply_pending();
    if (outcome_) {
        return;
    }
    Clock& clock = parts_.clock;
    clock.run_due_timers();
    if (poll_due_) {
        poll_due_ = false;
        poll_timer_->arm_in(poll_period_ns_);
        poll_();
    }
    // A replay delivers input one by one, a live run in batches: timers run after each in both.
    auto delivered = door_.deliver_due(clock, [&clock] { clock.run_due_timers(); });
    if (!delivered) {
        finish({Reason::failed, delivered.error().message});
    }
    if (const InputLog* log = door_.replay_log();
        log != nullptr && log->complete && door_.replay_finished() &&
        clock.instructions_now() >= log->end_instructions && options_.stop_at == Clock::kNever) {
        finish({Reason::replay_end, {}});
    }
}

void Machine::advance()
{
    if (options_.pacing == Pacing::paced && wait_for_wall_time()) {
        return;
    }
    Clock& clock = parts_.clock;
    const u64 now = clock.instructions_now();
    u64 until = std::min({clock.next_deadline_instructions(), options_.stop_at, now + slice_});
    if (const auto replay = door_.next_replay()) {
        until = std::min(until, replay->instructions);
    }
    if (const InputLog* log = door_.replay_log();
        log != nullptr && log->complete && log->end_instructions > now) {
        until = std::min(until, log->end_instructions);
    }
    // An entry stamped with this count and a later time: the CPU must turn out to be halted.
    const Cpu::Stop stop = parts_.cpu.run(std::max(until, now + 1));
    clock.set_retired(parts_.cpu.instructions());
    if (replay_is_late()) {
        finish({Reason::failed, "the replay diverged: input recorded for instruction " +
                                    std::to_string(door_.next_replay()->instructions) +
                                    " could not go in there"});
    } else if (stop == Cpu::Stop::shutdown && !parts_.take_event) {
        guest_reset(); // else the board has seen the shutdown cycle and decides
    } else if (stop == Cpu::Stop::halted) {
        idle();
    }
}

bool Machine::replay_is_late() const
{
    const auto next = door_.next_replay();
    return next && next->instructions < parts_.clock.instructions_now();
}

/// The CPU waits: guest time jumps to the next thing that can happen.
void Machine::idle()
{
    Clock& clock = parts_.clock;
    u64 deadline = clock.next_deadline_ns();
    if (const auto replay = door_.next_replay();
        replay && replay->instructions == clock.instructions_now()) {
        deadline = std::min(deadline, std::max(replay->ns, clock.now_ns()));
    }
    collect_event();
    if (reset_pending_ || shutdown_pending_) {
        return;
    }
    if (options_.stop_at != Clock::kNever && !door_.next_replay() && parts_.cpu.halted_for_good()) {
        finish({Reason::halted_forever, "the CPU has halted for good, with interrupts off"});
        return;
    }
    if (deadline == Clock::kNever) {
        idle_without_deadline();
        return;
    }
    if (options_.pacing == Pacing::free_running) {
        clock.skip_to_ns(deadline);
        return;
    }
    for (;;) {
        const TimePoint due = wall_at(deadline);
        const TimePoint now = steady_clock::now();
        if (now >= due) {
            clock.skip_to_ns(deadline);
            return;
        }
        if (mailbox_.wait_until(clip_to_tick(due))) {
            clock.skip_to_ns(std::min(deadline, guest_at(steady_clock::now())));
            return;
        }
        run_host_tick();
    }
}

void Machine::idle_without_deadline()
{
    if (!options_.live_input || door_.replaying()) {
        finish(
            {Reason::halted_forever, "the CPU has halted and nothing is left that could wake it"});
        return;
    }
    const bool woken = mailbox_.wait_until(clip_to_tick(steady_clock::now() + 1s));
    if (options_.pacing == Pacing::paced && woken) {
        parts_.clock.skip_to_ns(guest_at(steady_clock::now()));
    }
}

/// Paced: sleeps while guest time is ahead. True when it slept, so that input is looked at first.
bool Machine::wait_for_wall_time()
{
    const TimePoint due = wall_at(parts_.clock.now_ns());
    const TimePoint now = steady_clock::now();
    if (now >= due) {
        if (now - due > kMaxLag) {
            pace_wall_ += (now - due) - kMaxLag;
        }
        return false;
    }
    mailbox_.wait_until(clip_to_tick(due));
    return true;
}

Machine::TimePoint Machine::wall_at(u64 guest_ns) const
{
    constexpr u64 kCentury = u64{3'000'000'000} * 1'000'000'000; // keeps the sum in range
    const u64 ahead = guest_ns - std::min(guest_ns, pace_guest_ns_);
    return pace_wall_ + Nanoseconds{static_cast<i64>(std::min(ahead, kCentury))};
}

u64 Machine::guest_at(TimePoint wall) const
{
    const auto passed = std::max(Nanoseconds{0}, Nanoseconds{wall - pace_wall_});
    return pace_guest_ns_ + static_cast<u64>(passed.count());
}

void Machine::rebase_pacing()
{
    pace_wall_ = steady_clock::now();
    pace_guest_ns_ = parts_.clock.now_ns();
}

/// Directly on the machine's own thread (a monitor's command), so that its answer comes after it.
void Machine::between_slices(Mailbox::Task task)
{
    if (std::this_thread::get_id() == thread_) {
        task();
    } else {
        mailbox_.post(std::move(task));
    }
}

void Machine::quit()
{
    between_slices([this] { finish({Reason::quit, {}}); });
}

void Machine::pause()
{
    between_slices([this] {
        if (state_ == RunState::running) {
            change_state(RunState::paused);
            emit(MachineEvent::stop, EventCause::host);
        }
    });
}

void Machine::resume()
{
    between_slices([this] {
        if (state_ == RunState::paused || state_ == RunState::prelaunch) {
            change_state(RunState::running);
            emit(MachineEvent::resume, EventCause::host);
        }
    });
}

/// Through the mailbox first, so that a pause and a reset from one thread keep their order.
void Machine::post_own_input(u8 what)
{
    between_slices([this, what] { door_.post(kSinkName, {&what, 1}); });
}

void Machine::host_reset()
{
    post_own_input(kResetPayload);
}

void Machine::press_power()
{
    post_own_input(kPowerPayload);
}

void Machine::deliver(std::span<const u8> payload)
{
    if (payload.size() != 1) {
        return;
    }
    if (payload[0] == kResetPayload) {
        if (!options_.reboot && state_ != RunState::shutdown) {
            shut_down({Reason::host_reset, "the machine was reset"}, EventCause::host_reset);
            return;
        }
        reset_board();
        if (state_ == RunState::shutdown) {
            change_state(door_.replaying() ? RunState::running : RunState::paused);
        }
        emit(MachineEvent::reset, EventCause::host_reset);
    } else if (payload[0] == kPowerPayload && parts_.power_button) {
        emit(MachineEvent::powerdown, EventCause::host);
        parts_.power_button();
    }
}

void Machine::guest_reset()
{
    reset_pending_ = true;
    parts_.cpu.request_stop();
}

void Machine::guest_shutdown()
{
    shutdown_pending_ = true;
    parts_.cpu.request_stop();
}

void Machine::collect_event()
{
    switch (parts_.take_event ? parts_.take_event() : BoardEvent::none) {
    case BoardEvent::none:
        break;
    case BoardEvent::cpu_reset:
        parts_.cpu.reset();
        break;
    case BoardEvent::machine_reset:
        reset_pending_ = true;
        break;
    case BoardEvent::power_off:
        shutdown_pending_ = true;
        break;
    }
}

void Machine::apply_pending()
{
    collect_event();
    if (shutdown_pending_) {
        shutdown_pending_ = false;
        reset_pending_ = false;
        shut_down({Reason::guest_shutdown, "the guest switched itself off"},
                  EventCause::guest_shutdown);
    } else if (reset_pending_) {
        reset_pending_ = false;
        if (!options_.reboot) {
            shut_down({Reason::guest_reset, "the guest reset the machine"},
                      EventCause::guest_reset);
            return;
        }
        reset_board();
        emit(MachineEvent::reset, EventCause::guest_reset);
    }
}

/// The machine is off: that ends the run, or leaves the machine stopped for a monitor to look at.
void Machine::shut_down(RunOutcome outcome, EventCause cause)
{
    emit(MachineEvent::shutdown, cause);
    if (options_.quit_on_shutdown) {
        finish(std::move(outcome));
    } else {
        change_state(RunState::shutdown);
    }
}

void Machine::reset_board()
{
    if (parts_.reset) {
        parts_.reset();
        return;
    }
    for (Device* device : parts_.devices) {
        device->reset();
    }
    parts_.cpu.reset();
}

void Machine::wait_while_paused()
{
    if (state_ == RunState::shutdown && door_.replaying() && !door_.next_replay()) {
        finish({Reason::replay_end, {}});
        return;
    }
    mailbox_.wait_until(clip_to_tick(steady_clock::now() + 1s));
    border(); // input goes in while paused too: a reset, another disk in the drive
}

void Machine::change_state(RunState state)
{
    state_ = state;
    rebase_pacing();
}

void Machine::finish(RunOutcome outcome)
{
    if (!outcome_) {
        outcome_ = std::move(outcome);
    }
}

void Machine::emit(MachineEvent event, EventCause cause)
{
    for (const EventListener& listener : listeners_) {
        listener(event, cause);
    }
}

void Machine::set_poller(u64 period_ns, std::function<void()> poll)
{
    poll_period_ns_ = period_ns;
    poll_ = std::move(poll);
    poll_timer_.emplace(parts_.clock, "poll", [this] { poll_due_ = true; });
    poll_timer_->arm_in(period_ns);
}

void Machine::set_host_tick(Nanoseconds period, std::function<void()> tick)
{
    tick_period_ = period;
    tick_ = std::move(tick);
    next_tick_ = steady_clock::now();
}

/// Image metadata is written back at a flush, and some guests (DOS) never ask for one. What a
/// killed process can lose of them is bounded by this: the host's clock decides, which no guest can
/// see.
void Machine::flush_disks_in_time()
{
    const TimePoint now = steady_clock::now();
    if (now < next_flush_ || !parts_.disks) {
        return;
    }
    next_flush_ = now + 1s;
    for (const MachineParts::NamedDisk& disk : parts_.disks()) {
        if (disk.disk != nullptr && !disk.disk->read_only()) {
            // An error comes back at the guest's own flush, and at the end of the run.
            static_cast<void>(disk.disk->flush());
        }
    }
}

void Machine::run_host_tick()
{
    flush_disks_in_time();
    if (!tick_) {
        return;
    }
    const TimePoint now = steady_clock::now();
    if (now >= next_tick_) {
        next_tick_ = now + tick_period_;
        tick_();
    }
}

Machine::TimePoint Machine::clip_to_tick(TimePoint until) const
{
    return std::min(until, next_tick_);
}

base::Status Machine::visit_all(WholeStateVisitor& visitor)
{
    parts_.clock.visit_state(visitor);
    parts_.cpu.visit_state(visitor);
    for (Device* device : parts_.devices) {
        visitor.section(device->name());
        device->visit_state(visitor);
    }
    for (RamBlock* block : parts_.ram) {
        visitor.ram(*block);
    }
    const auto disks = parts_.disks ? parts_.disks() : std::vector<MachineParts::NamedDisk>{};
    for (const MachineParts::NamedDisk& disk : disks) {
        visitor.section(disk.name);
        if (disk.disk == nullptr || disk.disk->read_only()) {
            continue; // what nobody can write is part of the machine's description
        }
        if (auto visited = visitor.disk(disk.name, *disk.disk); !visited) {
            return visited;
        }
    }
    return base::ok();
}

base::Result<Sha256> Machine::state_hash()
{
    StateHash hash;
    if (auto visited = visit_all(hash); !visited) {
        return std::move(visited).error();
    }
    return hash.finish();
}

} // namespace emu
