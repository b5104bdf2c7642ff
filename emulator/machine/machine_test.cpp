#include "emulator/machine/machine.hpp"

#include "emulator/machine/fake_machine.hpp"
#include "emulator/memory/address_space.hpp"
#include "imgtool/disk.hpp"

#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>
#include <unistd.h>

using namespace emu;
using namespace emu::testing;
using namespace std::chrono_literals;
using Reason = RunOutcome::Reason;

namespace {

constexpr u64 kIps = 1'000'000; // 1 instruction = 1 microsecond

struct Rig {
    explicit Rig(MachineOptions options, u64 halt_every = 0, u64 period_ns = 0)
        : cpu{clock, halt_every}, device{clock, cpu, period_ns},
          machine{{clock, cpu, {&device}, {}, {}, {}, {}, {}}, options}
    {
        machine.door().add_sink("fake", device);
    }
    std::string hash() { return to_hex(machine.state_hash().value()); }

    Clock clock{kIps};
    FakeCpu cpu;
    FakeDevice device;
    Machine machine;
};

MachineOptions free_running(u64 stop_at)
{
    MachineOptions options;
    options.pacing = Pacing::free_running;
    options.stop_at = stop_at;
    return options;
}

struct TemporaryFile {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("menagerie-" + std::to_string(::getpid()) + ".log"))
                           .string();
    ~TemporaryFile() { std::remove(path.c_str()); }
};

/// Passes input on, lets another thread wait for it, and ends the run at the last.
class Counter final : public InputSink {
public:
    Counter(InputSink& sink, int last, Machine& machine)
        : sink_{sink}, last_{last}, machine_{machine}
    {}
    void deliver(std::span<const u8> payload) override
    {
        sink_.deliver(payload);
        const std::lock_guard lock{mutex_};
        if (++delivered_ == last_) {
            machine_.quit();
        }
        changed_.notify_all();
    }
    void wait_for(int count)
    {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [&] { return delivered_ >= count; });
    }

private:
    InputSink& sink_;
    int last_;
    Machine& machine_;
    std::mutex mutex_;
    std::condition_variable changed_;
    int delivered_ = 0;
};

const std::array<u8, 2> kBytes{'h', 'i'};

} // namespace

TEST_CASE("machine: stops after exactly the asked-for number of instructions")
{
    Rig rig{free_running(12'345)};

    const RunOutcome outcome = rig.machine.run();

    CHECK(outcome.reason == Reason::stop_at);
    CHECK(rig.cpu.instructions() == 12'345);
}

TEST_CASE("machine: a timer fires at its exact instruction")
{
    Rig rig{free_running(10'000), 0, 1'000'000}; // each 1000 instructions

    rig.machine.run();

    CHECK(rig.device.ticks == 9); // the one at 10,000 comes after the stop
    CHECK(rig.cpu.interrupts() == 9);
}

TEST_CASE("machine: an idle CPU skips the clock to the next timer")
{
    Rig rig{free_running(101), 10, 1'000'000}; // halts after 10 instructions, woken each ms

    rig.machine.run();

    CHECK(rig.device.ticks == 10);
    CHECK(rig.clock.now_ns() == 10'001'000);
}

TEST_CASE("machine: how time is cut by polls does not change the guest")
{
    Rig plain{free_running(100'000), 7000, 500'000};
    Rig polled{free_running(100'000), 7000, 500'000};
    u64 polls = 0;
    polled.machine.set_poller(333'333, [&] { ++polls; });

    plain.machine.run();
    polled.machine.run();

    CHECK(polls > 100);
    CHECK(plain.hash() == polled.hash());
}

TEST_CASE("machine: a count to stop at is not waited for when the CPU has halted for good")
{
    Rig rig{free_running(1'000'000), 10, 1'000'000}; // a timer goes on each ms
    rig.cpu.interrupts_off = true;

    CHECK(rig.machine.run().reason == Reason::halted_forever);
    CHECK(rig.cpu.instructions() < 1'000'000);
}

TEST_CASE("machine: a CPU that nothing can wake ends the run when no input can come")
{
    MachineOptions options = free_running(Clock::kNever);
    options.live_input = false;
    Rig rig{options, 10};

    CHECK(rig.machine.run().reason == Reason::halted_forever);
}

TEST_CASE("machine: a recorded run replays to the same state")
{
    const TemporaryFile file;
    const MachineDigest digest{1, 2, 3};
    Rig live{MachineOptions{}, 50, 10'000'000}; // paced and mostly idle: input wakes it early
    Counter counter{live.device, 4, live.machine};
    live.machine.door().add_sink("counted", counter);
    live.machine.door().record_to(InputLogWriter::create(file.path, digest).value());
    std::thread typist{[&] {
        for (int sent = 1; sent <= 4; ++sent) {
            live.machine.door().post("counted", kBytes);
            counter.wait_for(sent);
        }
    }};
    CHECK(live.machine.run().reason == Reason::quit);
    typist.join();

    InputLog log = read_input_log(file.path).value();
    CHECK(log.complete);
    CHECK(log.machine == digest);
    Rig replay{free_running(Clock::kNever), 50, 10'000'000};
    replay.machine.door().add_sink("counted", replay.device);
    REQUIRE(replay.machine.door().replay_from(std::move(log)));
    CHECK_FALSE(replay.machine.door().post("fake", kBytes));
    CHECK(replay.machine.run().reason == Reason::replay_end);

    CHECK(live.device.input.size() == 8);
    CHECK(replay.hash() == live.hash());
}

TEST_CASE("machine: replayed input goes in at its exact instruction and nanosecond")
{
    InputLog log;
    log.entries.push_back({{300, 300'000}, "fake", {'a'}});
    log.entries.push_back({{1000, 1'234'567}, "fake", {'b'}}); // halted at 1000 since 1,000,000
    Rig rig{free_running(1500), 1000, 5'000'000};
    REQUIRE(rig.machine.door().replay_from(std::move(log)));

    const RunOutcome outcome = rig.machine.run();

    CHECK(outcome.reason == Reason::stop_at);
    CHECK(rig.device.input_ns == std::vector<u64>{300'000, 1'234'567});
    CHECK(rig.device.ticks == 0);
}

TEST_CASE("machine: a replay that cannot be exact says so")
{
    InputLog log;
    log.entries.push_back({{300, 999'999}, "fake", {'a'}}); // the CPU is not halted there
    Rig rig{free_running(1500)};
    REQUIRE(rig.machine.door().replay_from(std::move(log)));

    const RunOutcome outcome = rig.machine.run();

    CHECK(outcome.reason == Reason::failed);
    CHECK(outcome.message.find("diverged") != std::string::npos);
}

TEST_CASE("machine: a triple fault resets, or ends the run without reboot")
{
    MachineOptions options = free_running(2000);
    Rig rebooting{options};
    rebooting.cpu.triple_fault_at = 1000;
    options.reboot = false;
    Rig ending{options};
    ending.cpu.triple_fault_at = 1000;

    CHECK(rebooting.machine.run().reason == Reason::stop_at);
    CHECK(rebooting.device.resets == 1);
    CHECK(ending.machine.run().reason == Reason::guest_reset);
    CHECK(ending.cpu.instructions() == 1000);
}

TEST_CASE("machine: a reset from outside ends the run without reboot, too")
{
    MachineOptions options = free_running(Clock::kNever);
    options.reboot = false;
    Rig rig{options};
    std::vector<EventCause> causes;
    rig.machine.add_event_listener(
        [&](MachineEvent, EventCause cause) { causes.push_back(cause); });
    rig.machine.host_reset();

    CHECK(rig.machine.run().reason == Reason::host_reset);
    CHECK(causes == std::vector{EventCause::host_reset});
    CHECK(rig.device.resets == 0);
}

TEST_CASE("machine: paced guest time is never ahead of wall time")
{
    MachineOptions options;
    options.stop_at = 30'000; // 30 ms
    Rig rig{options};

    const auto began = std::chrono::steady_clock::now();
    rig.machine.run();

    CHECK(std::chrono::steady_clock::now() - began >= 28ms);
}

TEST_CASE("machine: pause, events and continue")
{
    MachineOptions options;
    options.start_paused = true;
    Rig rig{options};
    std::vector<MachineEvent> events;
    rig.machine.add_event_listener([&](MachineEvent event, EventCause) {
        events.push_back(event);
        if (event == MachineEvent::reset) {
            rig.machine.quit();
        }
    });
    std::thread other{[&] {
        rig.machine.resume();
        rig.machine.pause();
        rig.machine.host_reset();
    }};

    const RunOutcome outcome = rig.machine.run();
    other.join();

    CHECK(outcome.reason == Reason::quit);
    CHECK(events ==
          std::vector<MachineEvent>{MachineEvent::resume, MachineEvent::stop, MachineEvent::reset});
    CHECK(rig.device.resets == 1);
}

TEST_CASE("state hash: zero pages are left out, but where data lies matters")
{
    RamBlock first{"ram", 16 * 4096};
    RamBlock second{"ram", 16 * 4096};
    first.bytes()[4096 * 3] = 7;
    second.bytes()[4096 * 4] = 7;

    StateHash a;
    a.ram(first);
    StateHash b;
    b.ram(second);

    CHECK(to_hex(a.finish()) != to_hex(b.finish()));
}

TEST_CASE("input log: truncation keeps whole entries, corruption is refused")
{
    const TemporaryFile file;
    {
        auto writer = InputLogWriter::create(file.path, {}).value();
        REQUIRE(writer.append({{1, 2}, "fake", {9}}));
        REQUIRE(writer.append({{3, 4}, "fake", {8, 7}}));
        REQUIRE(writer.finish(10));
    }
    std::ifstream in{file.path, std::ios::binary};
    std::vector<u8> bytes{std::istreambuf_iterator<char>{in}, {}};

    const auto whole = parse_input_log(bytes);
    REQUIRE(whole);
    CHECK(whole.value().complete);
    CHECK(whole.value().entries[1].stamp == InputStamp{3, 4});
    CHECK(whole.value().end_instructions == 10);

    const auto cut = parse_input_log(std::span{bytes}.first(bytes.size() - 1));
    REQUIRE(cut);
    CHECK_FALSE(cut.value().complete);
    CHECK(cut.value().entries.size() == 2);

    bytes[60] ^= 1;
    CHECK(parse_input_log(bytes).error().code == base::Errc::corrupt);
    bytes[0] ^= 1;
    CHECK(parse_input_log(bytes).error().code == base::Errc::wrong_format);
}
