// The AT's two 8237A DMA controllers and their page registers.
//
// Sources: Intel "8237A High Performance Programmable DMA Controller" (231466); IBM "Personal
// Computer AT Technical Reference" (6280070), "DMA". Ports 00-0Fh, C0-DFh, 81-8Fh (80h is the
// manufacturing checkpoint latch, another device).
// Not modelled: memory-to-memory transfers and software requests (the AT cannot use them),
// bus timing. A transfer happens at once when its device asks.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/devices/dma/dma_channel.hpp"
#include "emulator/memory/address_space.hpp"

#include <array>
#include <span>

namespace emu::devices {

class I8237Pair final : public Device, public ByteIo {
public:
    explicit I8237Pair(AddressSpace& memory);
    ~I8237Pair() override;

    std::string_view name() const override { return "i8237"; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// Channels 0-3 move bytes, 5-7 move 16-bit words (an odd last byte is not moved). 4 is the
    /// cascade and never moves anything.
    DmaChannel& channel(unsigned number) { return ports_[number & 7]; }

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    enum class Direction : u8 { to_memory, from_memory };

    struct Port final : DmaChannel {
        I8237Pair* owner = nullptr;
        unsigned number = 0;
        Moved to_memory(std::span<const u8> data) override;
        Moved from_memory(std::span<u8> data) override;
    };

    struct Channel {
        u16 base_address = 0;
        u16 base_count = 0;
        u16 address = 0;
        u16 count = 0;
        u8 mode = 0;
        u8 page = 0;
        void visit_state(StateVisitor& visitor);
    };

    struct Controller {
        std::array<Channel, 4> channels;
        u8 command = 0;
        u8 mask = 0x0f;
        u8 terminal_counts = 0; // status bits 3:0
        bool high_byte_next = false;
        void visit_state(StateVisitor& visitor);
        void master_clear();
    };

    u8 read_controller(Controller& chip, unsigned reg);
    void write_controller(Controller& chip, unsigned reg, u8 value);
    void write_command_register(Controller& chip, unsigned reg, u8 value);
    DmaChannel::Moved transfer(unsigned number, Direction direction, std::span<const u8> source,
                               std::span<u8> target);

    AddressSpace& memory_;
    std::array<Controller, 2> chips_;
    std::array<u8, 16> spare_pages_{}; // page registers of no channel: plain latches
    std::array<Port, 8> ports_;
};

} // namespace emu::devices
