// Every way into a shutdown or reset, with the real board, the real CPU and both of its tiers.
#include "emulator/cli/build_machine.hpp"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace emu;
using namespace emu::cli;
using Reason = RunOutcome::Reason;

namespace {

constexpr u8 kGuest[] = {
#include "emulator/cli/reset_guest.inc"
};
constexpr std::size_t kWayAt = 4;
constexpr u8 kReturns = 0x80;   // CMOS byte 0Fh: only the CPU starts over
constexpr u64 kEnough = 20'000; // instructions, for several starts

/// In the order of the guest's table.
enum Way : u8 {
    short_idt,
    no_stack,
    port_92,
    pulse,
    output_port,
    hard_reset,
    soft_reset,
    interrupt_at_halt,
    single_step,
    undefined,
    small_stack,
    task_gate,
    paging,
    virtual_8086,
    no_tss,
    init
};

struct Text final : CharSink {
    std::string text;
    void put(u8 byte) override { text += static_cast<char>(byte); }
};

class Bios {
public:
    explicit Bios(u8 way)
    {
        std::vector<u8> image(0x1'0000, 0);
        std::copy(std::begin(kGuest), std::end(kGuest), image.begin());
        image[kWayAt] = way;
        image[0xfff0] = 0xea; // jmp F000:0000
        image[0xfff4] = 0xf0;
        std::ofstream file{path_, std::ios::binary};
        file.write(reinterpret_cast<const char*>(image.data()),
                   static_cast<std::streamsize>(image.size()));
    }
    ~Bios() { std::filesystem::remove(path_); }
    const std::string& path() const { return path_; }

private:
    std::string path_ = (std::filesystem::temp_directory_path() /
                         ("menagerie-reset-" + std::to_string(::getpid()) + ".bin"))
                            .string();
};

struct Rig {
    Rig(u8 way, const std::string& tier, MachineOptions run) : bios{way}
    {
        auto options =
            parse_options({"-bios", bios.path(), "-vga", "none", "-m", "2", "--tier", tier});
        REQUIRE(options);
        GuestSinks sinks;
        sinks.debug_e9 = &starts;
        sinks.serial[0] = &serial;
        auto made = build_machine(options.value(), run, sinks);
        REQUIRE(made);
        built = std::move(made).value();
    }
    RunOutcome run()
    {
        RunOutcome outcome = built->machine->run();
        built->board->send_remaining_output();
        return outcome;
    }

    Bios bios;
    Text starts;
    Text serial;
    std::unique_ptr<BuiltMachine> built;
};

MachineOptions options_for(bool reboot)
{
    MachineOptions run;
    run.pacing = Pacing::free_running;
    run.stop_at = kEnough;
    run.reboot = reboot;
    return run;
}

const std::array<std::string, 3> kTiers{"0", "1", "auto"};

} // namespace

TEST_CASE("reset: whatever shuts the CPU down or resets the machine starts it again")
{
    const u8 way = GENERATE(range(u8{short_idt}, u8{init}));
    const std::string tier = GENERATE(from_range(kTiers));
    CAPTURE(way, tier);
    Rig rig{way, tier, options_for(true)};

    const RunOutcome outcome = rig.run();

    CHECK(outcome.reason == Reason::stop_at);
    CHECK(rig.built->cpu->instructions() == kEnough);
    CHECK(rig.starts.text.substr(0, 4) == "RRRR");
    CHECK(rig.serial.text.substr(0, 4) == "uuuu");
}

TEST_CASE("reset: without reboot the run ends there, and what was being sent arrives")
{
    const u8 way = GENERATE(range(u8{short_idt}, u8{init}));
    const std::string tier = GENERATE(from_range(kTiers));
    CAPTURE(way, tier);
    Rig rig{way, tier, options_for(false)};

    CHECK(rig.run().reason == Reason::guest_reset);
    CHECK(rig.starts.text == "R");
    CHECK(rig.serial.text == "u");
}

TEST_CASE("reset: with CMOS 0Fh set only the CPU starts over, unless the board was asked for all")
{
    const u8 way = GENERATE(range(u8{short_idt}, u8{init}));
    const std::string tier = GENERATE(from_range(kTiers));
    CAPTURE(way, tier);
    Rig rig{static_cast<u8>(way | kReturns), tier, options_for(true)};

    CHECK(rig.run().reason == Reason::stop_at);
    CHECK(rig.starts.text.substr(0, 3) == (way == hard_reset ? "RRR" : "RII"));
}

TEST_CASE("reset: an INIT message to its own CPU is no reset of the machine")
{
    const std::string tier = GENERATE(from_range(kTiers));
    Rig rig{init, tier, options_for(false)};

    CHECK(rig.run().reason == Reason::stop_at);
    CHECK(rig.starts.text.substr(0, 3) == "RII");
}

TEST_CASE("reset: all tiers reach the same state, instruction for instruction")
{
    const u8 way = GENERATE(range(u8{short_idt}, u8{init}));
    CAPTURE(way);
    std::vector<std::string> hashes;
    for (const std::string& tier : kTiers) {
        Rig rig{way, tier, options_for(true)};
        rig.run();
        hashes.push_back(to_hex(rig.built->machine->state_hash().value()));
    }

    CHECK(hashes[1] == hashes[0]);
    CHECK(hashes[2] == hashes[0]);
}

TEST_CASE("reset: without shutdown the machine stays for a monitor, and goes on after its reset")
{
    const u8 way = GENERATE(as<u8>{}, undefined, pulse);
    MachineOptions run = options_for(false);
    run.quit_on_shutdown = false;
    run.stop_at = Clock::kNever;
    Rig rig{way, "auto", run};
    Machine& machine = *rig.built->machine;
    std::vector<std::pair<MachineEvent, EventCause>> events;
    machine.add_event_listener([&](MachineEvent event, EventCause cause) {
        events.emplace_back(event, cause);
        if (events.size() == 1) {
            CHECK(rig.starts.text == "R");
            machine.post([&machine] { machine.host_reset(); });
        } else if (event == MachineEvent::reset) {
            machine.post([&machine] { machine.resume(); });
        } else if (event == MachineEvent::shutdown) {
            machine.quit();
        }
    });

    CHECK(rig.run().reason == Reason::quit);

    CHECK(events == std::vector<std::pair<MachineEvent, EventCause>>{
                        {MachineEvent::shutdown, EventCause::guest_reset},
                        {MachineEvent::reset, EventCause::host_reset},
                        {MachineEvent::resume, EventCause::host},
                        {MachineEvent::shutdown, EventCause::guest_reset}});
    CHECK(rig.starts.text == "RR");
}
