// From options to a machine that can run.
#pragma once

#include "emulator/boards/pc.hpp"
#include "emulator/cli/drives.hpp"
#include "emulator/cli/options.hpp"
#include "emulator/debug/target.hpp"
#include "emulator/hostio/guest_input.hpp"
#include "emulator/machine/machine.hpp"

#include <memory>

namespace emu::cli {

/// Where the guest's output goes; null drops it. All outlive the machine.
struct GuestSinks {
    std::array<CharSink*, 2> serial{};
    CharSink* parallel = nullptr;
    CharSink* debug_e9 = nullptr;
    CharSink* debug_402 = nullptr;
    GuestLog* log = nullptr;
};

/// Keys and mouse of windows, monitors and scripts as entries of the machine's input door.
class DoorInput : public hostio::GuestInput {
public:
    explicit DoorInput(InputDoor& door) : door_{door} {}
    void key(hostio::KeyCode key, bool down) override;
    void mouse(int dx, int dy, int wheel, u8 buttons) override;

private:
    InputDoor& door_;
};

/// The parts live in the order of their members: what is used is above its users.
struct BuiltMachine {
    DiskActivity activity;
    std::vector<std::unique_ptr<debug::BlockSlot>> slots;
    std::unique_ptr<boards::PcBoard> board;
    std::unique_ptr<Cpu> cpu;
    std::unique_ptr<Machine> machine;
    std::unique_ptr<DoorInput> input;
    MachineDigest digest{}; // of everything that was not input: what a log belongs to

    bool keyboard_ready();
    bool mouse_ready();
};

/// `rtc_start_s` is what the guest's clock says at power-on. Errors name the option or the file.
base::Result<std::unique_ptr<BuiltMachine>>
build_machine(const Options& options, const MachineOptions& run, const GuestSinks& sinks);

} // namespace emu::cli
