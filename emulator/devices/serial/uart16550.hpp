// 16550A UART with FIFOs and baud-rate timing on the virtual clock.
//
// Source: National Semiconductor "PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs"
// (TL/C/8652).
// Deviation: host input waits outside the receiver until there is room, so bytes are never lost;
// overrun happens in loopback only. What the transmitter holds at a reset still reaches the line:
// it is most often the last words of a guest that crashed. Parity, framing and break errors never
// arrive on this line.
#pragma once

#include "emulator/devices/byte_io.hpp"
#include "emulator/machine/clock.hpp"

#include <array>
#include <deque>

namespace emu::devices {

class Uart16550 final : public Device, public ByteIo, public InputSink {
public:
    struct Wiring {
        Clock& clock;
        Wire irq;
        CharSink* line; // null: nothing listens
    };

    /// `name` tells the ports apart ("com1").
    Uart16550(std::string name, Wiring wiring);

    std::string_view name() const override { return name_; }
    void reset() override;
    void visit_state(StateVisitor& visitor) override;

    /// Bytes from the host; they arrive at the configured rate as the receiver has room.
    void deliver(std::span<const u8> payload) override;

    /// Puts on the line what the guest has written and the transmitter holds. For the end of a run:
    /// the state stays as it is.
    void send_remaining() const;

    /// Nothing delivered is still waiting outside the receiver.
    bool can_accept() const { return waiting_.empty(); }
    std::size_t waiting_bytes() const { return waiting_.size(); }

protected:
    u8 read_byte(u16 port) override;
    void write_byte(u16 port, u8 value) override;

private:
    static constexpr std::size_t kFifoDepth = 16;

    u8 read_receiver();
    u8 read_identification();
    u8 read_line_status();
    u8 read_modem_status();
    void write_transmitter(u8 value);
    void write_interrupt_enable(u8 value);
    void write_fifo_control(u8 value);
    void write_modem_control(u8 value);

    bool divisor_latch() const { return (line_control_ & 0x80) != 0; }
    bool fifos_enabled() const { return (fifo_control_ & 0x01) != 0; }
    bool loopback() const { return (modem_control_ & 0x10) != 0; }
    std::size_t capacity() const { return fifos_enabled() ? kFifoDepth : 1; }
    std::size_t receive_trigger() const;
    u64 character_ns() const;

    void receive(u8 byte);
    void schedule_receive();
    void receive_event();
    void start_shifting();
    void transmit_event();
    u8 modem_lines() const;
    void set_modem_lines(u8 lines);
    u8 pending_interrupt() const;
    void update_irq();

    std::string name_;
    Wiring wiring_;
    Timer transmit_timer_; // the shift register empties
    Timer receive_timer_;  // the next waiting byte arrives
    Timer timeout_timer_;  // four characters of silence with data in the FIFO

    std::deque<u8> waiting_; // host input not yet on the line
    std::deque<u8> receive_fifo_;
    std::deque<u8> transmit_fifo_;
    u8 shift_register_ = 0;
    bool shifting_ = false;
    u8 interrupt_enable_ = 0;
    u8 fifo_control_ = 0;
    u8 line_control_ = 0;
    u8 modem_control_ = 0;
    u8 modem_status_ = 0;
    u8 scratch_ = 0;
    u16 divisor_ = 12; // 9600 baud
    bool overrun_ = false;
    bool timeout_ = false;
    bool transmitter_empty_interrupt_ = false; // THRE happened and was not yet seen
};

} // namespace emu::devices
