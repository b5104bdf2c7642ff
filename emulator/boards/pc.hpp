// A PC: every chip on the board and the wires between them. The CPU is plugged in from outside.
#pragma once

#include "emulator/boards/pc_config.hpp"
#include "emulator/boards/pc_glue.hpp"
#include "emulator/boards/pc_spec.hpp"
#include "emulator/devices/block/atapi_cdrom.hpp"
#include "emulator/devices/block/piix3_ide.hpp"
#include "emulator/devices/debugport/system_ports.hpp"
#include "emulator/devices/display/pci_vga.hpp"
#include "emulator/devices/dma/i8237.hpp"
#include "emulator/devices/firmware/fw_cfg.hpp"
#include "emulator/devices/floppy/fdc.hpp"
#include "emulator/devices/input/i8042.hpp"
#include "emulator/devices/input/ps2_keyboard.hpp"
#include "emulator/devices/input/ps2_mouse.hpp"
#include "emulator/devices/intc/i8259.hpp"
#include "emulator/devices/intc/io_apic.hpp"
#include "emulator/devices/intc/local_apic.hpp"
#include "emulator/devices/nvram/mc146818.hpp"
#include "emulator/devices/parallel/parallel_port.hpp"
#include "emulator/devices/pci/i440fx.hpp"
#include "emulator/devices/pci/pci_bus.hpp"
#include "emulator/devices/pci/piix3.hpp"
#include "emulator/devices/power/piix4_pm.hpp"
#include "emulator/devices/serial/uart16550.hpp"
#include "emulator/devices/timer/i8254.hpp"
#include "emulator/machine/cpu.hpp"
#include "emulator/machine/x86_hooks.hpp"

#include <map>

namespace emu::boards {

/// What the machine's owner has to do before the CPU goes on.
enum class PcEvent : u8 {
    none,
    machine_reset, // PcBoard::reset()
    power_off
};

struct PcDrive {
    std::string name; // "ide0-hd0", "ide1-cd0", "floppy0"
    bool removable = false;
    img::Disk* disk = nullptr; // null: empty
    bool tray_open = false;
};

class PcBoard final : public X86Hooks {
public:
    /// Errors: `invalid_argument` or `unsupported` for memory, firmware, drives or boot order that
    /// this board cannot have.
    static base::Result<std::unique_ptr<PcBoard>> create(PcConfig config);
    ~PcBoard() override;
    PcBoard(const PcBoard&) = delete;
    PcBoard& operator=(const PcBoard&) = delete;

    /// Connects the CPU's pins. It must outlive the board's use; call reset() before it runs.
    void attach_cpu(Cpu& cpu) { cpu_ = &cpu; }
    const std::string& cpu_model() const { return config_.cpu_model; }

    /// Power-on or the reset button: all devices, then the CPU.
    void reset();

    /// Called when a device asks for something, in the middle of guest code; the CPU was told to
    /// stop. Without a listener the owner polls take_event() between slices.
    void set_event_listener(std::function<void(PcEvent)> listener)
    {
        event_listener_ = std::move(listener);
    }
    PcEvent take_event();

    Clock& clock() { return clock_; }
    AddressSpace& memory() { return memory_; }
    PortSpace& ports() { return ports_; }

    /// All that has guest-visible state, in a fixed order; guest memory is in ram().
    const std::vector<Device*>& devices() const { return devices_; }
    RamBlock& ram() { return *ram_; }

    /// "keyboard", "mouse", "serial0", "serial1", "media", "system".
    const std::map<std::string, InputSink*>& inputs() const { return inputs_; }
    DisplaySource* display() { return vga_.get(); } // null without a display adapter
    std::vector<PcDrive> drives();
    base::Status change_medium(const std::string& drive, std::unique_ptr<img::Disk> disk);
    base::Status eject(const std::string& drive, bool force);

    devices::Ps2Keyboard& keyboard() { return keyboard_; }
    devices::Ps2Mouse& mouse() { return mouse_; }
    devices::I8042& keyboard_controller() { return *keyboard_controller_; }
    devices::Uart16550& serial(unsigned index) { return *uarts_[index & 1]; }
    devices::pci::PciBus* pci() { return pci_.get(); }
    const devices::pci::PciBus* pci() const { return pci_.get(); }    // null: isapc
    const devices::IoApic* io_apic() const { return io_apic_.get(); } // likewise
    const devices::I8259Pair& pic() const { return *pic_; }
    const IsaInterrupts& interrupts() const { return *interrupts_; }
    bool speaker_on() const { return port61_->speaker_enabled(); }
    u32 speaker_divisor() const { return timer_->divisor2(); }
    u8 checkpoint() const { return checkpoint_.last(); }

    /// What the serial ports were still sending when the machine's run ended reaches its channels.
    void send_remaining_output() const;

    // X86Hooks
    u32 port_read(u16 port, unsigned size) override;
    void port_write(u16 port, unsigned size, u32 value) override;
    int acknowledge_interrupt() override;
    u64 apic_base() const override;
    bool set_apic_base(u64 value) override;
    bool apic_enabled() const override;
    void set_smm_active(bool active) override;
    void set_ferr(bool level) override { fpu_error_->set_ferr(level); }
    bool ignne() const override { return fpu_error_->ignne(); }
    void shutdown() override { request_cpu_reset(); }

private:
    /// Text commands of the recorded input log: "insert", "eject" (media), "reset" … (system).
    struct TextSink final : InputSink {
        std::function<void(std::string_view)> handle;
        void deliver(std::span<const u8> payload) override
        {
            handle({reinterpret_cast<const char*>(payload.data()), payload.size()});
        }
    };

    explicit PcBoard(PcConfig config);

    // In this order, from create().
    void build_memory();
    void build_interrupts();
    void build_pci();
    void build_isa();
    void build_display();
    base::Status build_ide();
    base::Status build_floppies();
    base::Status build_firmware();
    base::Status add_kernel();
    void build_inputs();

    void add(Device& device) { devices_.push_back(&device); }
    void map_ports(std::string_view device, IoHandler& handler);
    Wire irq(std::string_view source);
    devices::block::IdeChannel& ide_channel(unsigned index);
    std::string ide_name(unsigned position) const;
    base::Status fill_cmos(const std::string& boot_order);
    void put_disk_types();
    void request(PcEvent event);
    void request_cpu_reset();
    void set_isa_line(unsigned irq, bool level);
    void handle_media(std::string_view text);
    void handle_system(std::string_view text);
    int ide_position(const std::string& drive) const;
    int floppy_number(const std::string& drive) const;

    PcConfig config_;
    Clock clock_;
    AddressSpace memory_;
    PortSpace ports_{kPcBusCycles};
    Cpu* cpu_ = nullptr;
    PcEvent event_ = PcEvent::none;
    std::function<void(PcEvent)> event_listener_;
    Timer init_;           // the CPU's INIT pin, acted on between two instructions
    bool started_ = false; // the first reset with a CPU was power-on
    std::vector<Device*> devices_;
    std::map<std::string, InputSink*> inputs_;

    // The disks before the devices that use them.
    std::array<std::unique_ptr<img::Disk>, 4> hard_disks_;
    std::array<std::unique_ptr<img::Disk>, 2> floppy_disks_;
    std::array<devices::block::DiskGeometry, 4> geometries_{};

    std::unique_ptr<RamBlock> ram_;
    std::unique_ptr<RamBlock> bios_;
    std::unique_ptr<RamBlock> isa_bios_; // isapc: the writable copy below 1 MiB
    std::unique_ptr<RamBlock> vram_;
    std::unique_ptr<RamBlock> vga_rom_;

    std::unique_ptr<IsaInterrupts> interrupts_;
    std::unique_ptr<devices::LocalApic> local_apic_;
    std::unique_ptr<devices::IoApic> io_apic_;
    std::unique_ptr<devices::I8259Pair> pic_;
    std::unique_ptr<FpuErrorLatch> fpu_error_;
    std::unique_ptr<devices::A20Gate> a20_;
    std::unique_ptr<devices::SystemControlA> port92_;
    std::unique_ptr<DelayedRise> timer_irq_;
    std::unique_ptr<devices::I8254> timer_;
    std::unique_ptr<devices::SystemControlB> port61_;
    std::unique_ptr<devices::Mc146818> rtc_;
    std::unique_ptr<devices::I8237Pair> dma_;
    devices::Ps2Keyboard keyboard_;
    devices::Ps2Mouse mouse_;
    std::unique_ptr<devices::I8042> keyboard_controller_;
    std::array<std::unique_ptr<devices::Uart16550>, 2> uarts_;
    std::unique_ptr<devices::ParallelPort> parallel_;
    devices::CheckpointPort checkpoint_;
    std::unique_ptr<devices::DebugConsole> debug_e9_;
    std::unique_ptr<devices::DebugConsole> debug_402_;
    std::unique_ptr<devices::FwCfg> fw_cfg_;
    std::unique_ptr<devices::FloppyController> fdc_;

    std::unique_ptr<devices::pci::PciBus> pci_;
    std::unique_ptr<devices::pci::I440fx> host_bridge_;
    std::unique_ptr<devices::pci::Piix3> isa_bridge_;
    std::unique_ptr<devices::block::Piix3Ide> pci_ide_;
    std::unique_ptr<devices::block::IsaIde> isa_ide_;
    std::unique_ptr<devices::power::Piix4Pm> power_;
    std::unique_ptr<devices::display::Vga> vga_;
    std::unique_ptr<devices::display::PciVga> pci_vga_;

    TextSink media_sink_;
    TextSink system_sink_;
};

} // namespace emu::boards
