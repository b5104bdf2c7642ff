#include "emulator/devices/serial/uart16550.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

constexpr u64 kClockHz = 1'843'200;
constexpr u64 kSecondNs = 1'000'000'000;

// Interrupt enable
constexpr u8 kEnableReceive = 0x01;
constexpr u8 kEnableTransmit = 0x02;
constexpr u8 kEnableLineStatus = 0x04;
constexpr u8 kEnableModemStatus = 0x08;

// Interrupt identification (table IV), in order of priority
constexpr u8 kLineStatusInterrupt = 0x06;
constexpr u8 kReceiveInterrupt = 0x04;
constexpr u8 kTimeoutInterrupt = 0x0c;
constexpr u8 kTransmitInterrupt = 0x02;
constexpr u8 kModemInterrupt = 0x00;
constexpr u8 kNoInterrupt = 0x01;

// Line status
constexpr u8 kDataReady = 0x01;
constexpr u8 kOverrun = 0x02;
constexpr u8 kHoldingEmpty = 0x20;
constexpr u8 kTransmitterEmpty = 0x40;

// Modem control
constexpr u8 kOut2 = 0x08; // gates the interrupt line on a PC

// Modem status: changes in 3:0, lines in 7:4
constexpr u8 kClearToSend = 0x10;
constexpr u8 kDataSetReady = 0x20;
constexpr u8 kRing = 0x40;
constexpr u8 kCarrier = 0x80;

} // namespace

Uart16550::Uart16550(std::string name, Wiring wiring)
    : name_{std::move(name)}, wiring_{.clock = wiring.clock, .irq = {}, .line = wiring.line},
      transmit_timer_{wiring_.clock, "transmit", [this] { transmit_event(); }},
      receive_timer_{wiring_.clock, "receive", [this] { receive_event(); }},
      timeout_timer_{wiring_.clock, "timeout", [this] {
                         timeout_ = !receive_fifo_.empty();
                         update_irq();
                     }}
{
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    wiring_.irq = std::move(wiring.irq);
}

void Uart16550::send_remaining() const
{
    if (loopback() || wiring_.line == nullptr) {
        return;
    }
    if (shifting_) {
        wiring_.line->put(shift_register_);
    }
    for (const u8 byte : transmit_fifo_) {
        wiring_.line->put(byte);
    }
}

void Uart16550::reset()
{
    send_remaining();
    transmit_timer_.cancel();
    receive_timer_.cancel();
    timeout_timer_.cancel();
    receive_fifo_.clear();
    transmit_fifo_.clear();
    shifting_ = false;
    interrupt_enable_ = fifo_control_ = line_control_ = modem_control_ = 0;
    modem_status_ = modem_lines();
    overrun_ = timeout_ = transmitter_empty_interrupt_ = false;
    schedule_receive();
    update_irq();
}

void Uart16550::visit_state(StateVisitor& v)
{
    v.section(name_);
    v.field("waiting", waiting_);
    v.field("receive_fifo", receive_fifo_);
    v.field("transmit_fifo", transmit_fifo_);
    v.field("shift_register", shift_register_);
    v.field("shifting", shifting_);
    v.field("interrupt_enable", interrupt_enable_);
    v.field("fifo_control", fifo_control_);
    v.field("line_control", line_control_);
    v.field("modem_control", modem_control_);
    v.field("modem_status", modem_status_);
    v.field("scratch", scratch_);
    v.field("divisor", divisor_);
    v.field("overrun", overrun_);
    v.field("timeout", timeout_);
    v.field("transmitter_empty_interrupt", transmitter_empty_interrupt_);
    transmit_timer_.visit_state(v);
    receive_timer_.visit_state(v);
    timeout_timer_.visit_state(v);
}

// What a transmitted character takes at most.
constexpr u64 kTransmitNs = 1'000;

u64 Uart16550::character_ns() const
{
    // Start bit, 5 to 8 data bits, parity, 1 or 2 stop bits (1.5 counts as 2).
    const u64 bits = 1 + 5 + (line_control_ & 3u) + ((line_control_ & 0x08) != 0 ? 1 : 0) +
                     ((line_control_ & 0x04) != 0 ? 2 : 1);
    const u64 divisor = divisor_ == 0 ? 1 : divisor_; // 0 is undefined; run rather than stop
    return bits * 16 * divisor * kSecondNs / kClockHz;
}

std::size_t Uart16550::receive_trigger() const
{
    static constexpr std::array<std::size_t, 4> kTriggers{1, 4, 8, 14};
    return fifos_enabled() ? kTriggers[fifo_control_ >> 6] : 1;
}

void Uart16550::deliver(std::span<const u8> payload)
{
    waiting_.insert(waiting_.end(), payload.begin(), payload.end());
    schedule_receive();
}

void Uart16550::schedule_receive()
{
    if (!waiting_.empty() && !receive_timer_.armed() && !loopback() &&
        receive_fifo_.size() < capacity()) {
        receive_timer_.arm_in(character_ns());
    }
}

void Uart16550::receive_event()
{
    if (!waiting_.empty() && !loopback() && receive_fifo_.size() < capacity()) {
        const u8 byte = waiting_.front();
        waiting_.pop_front();
        receive(byte);
    }
    schedule_receive();
}

void Uart16550::receive(u8 byte)
{
    if (receive_fifo_.size() >= capacity()) {
        overrun_ = true;
        if (!fifos_enabled()) {
            receive_fifo_.back() = byte; // without FIFOs the new character replaces the old
        }
    } else {
        receive_fifo_.push_back(byte);
    }
    timeout_ = false;
    if (fifos_enabled()) {
        timeout_timer_.arm_in(4 * character_ns());
    }
    update_irq();
}

u8 Uart16550::read_receiver()
{
    u8 byte = 0;
    if (!receive_fifo_.empty()) {
        byte = receive_fifo_.front();
        receive_fifo_.pop_front();
    }
    timeout_ = false;
    timeout_timer_.cancel();
    if (fifos_enabled() && !receive_fifo_.empty()) {
        timeout_timer_.arm_in(4 * character_ns());
    }
    schedule_receive();
    update_irq();
    return byte;
}

void Uart16550::write_transmitter(u8 value)
{
    transmitter_empty_interrupt_ = false;
    if (transmit_fifo_.size() >= capacity()) {
        transmit_fifo_.back() = value; // written over: the guest did not wait for THRE
    } else {
        transmit_fifo_.push_back(value);
    }
    if (!shifting_) {
        start_shifting();
    }
    update_irq();
}

void Uart16550::start_shifting()
{
    shift_register_ = transmit_fifo_.front();
    transmit_fifo_.pop_front();
    shifting_ = true;
    // Deviation: a character leaves within microseconds whatever the divisor says. Kernels poll
    // the transmitter when they print; at 9600 baud a boot log would be half a minute of polling.
    // Loopback keeps the true rate, which some drivers measure.
    transmit_timer_.arm_in(loopback() ? character_ns() : std::min(character_ns(), kTransmitNs));
    if (transmit_fifo_.empty()) {
        transmitter_empty_interrupt_ = true;
    }
}

void Uart16550::transmit_event()
{
    shifting_ = false;
    const u8 byte = shift_register_;
    if (!transmit_fifo_.empty()) {
        start_shifting();
    }
    if (loopback()) {
        receive(byte);
    } else if (wiring_.line != nullptr) {
        wiring_.line->put(byte);
    }
    update_irq();
}

u8 Uart16550::read_identification()
{
    const u8 cause = pending_interrupt();
    if (cause == kTransmitInterrupt) {
        transmitter_empty_interrupt_ = false; // reading the source resets it
        update_irq();
    }
    return cause | (fifos_enabled() ? 0xc0 : 0);
}

u8 Uart16550::read_line_status()
{
    const u8 status =
        static_cast<u8>((receive_fifo_.empty() ? 0 : kDataReady) | (overrun_ ? kOverrun : 0) |
                        (transmit_fifo_.empty() ? kHoldingEmpty : 0) |
                        (transmit_fifo_.empty() && !shifting_ ? kTransmitterEmpty : 0));
    overrun_ = false;
    update_irq();
    return status;
}

u8 Uart16550::read_modem_status()
{
    const u8 status = modem_status_;
    modem_status_ &= 0xf0;
    update_irq();
    return status;
}

u8 Uart16550::modem_lines() const
{
    if (!loopback()) {
        return kClearToSend | kDataSetReady | kCarrier; // a connected, willing partner
    }
    // In loopback DTR, RTS, OUT1 and OUT2 come back as DSR, CTS, RI and DCD.
    const unsigned mcr = modem_control_;
    return static_cast<u8>(((mcr & 1) != 0 ? kDataSetReady : 0) |
                           ((mcr & 2) != 0 ? kClearToSend : 0) | ((mcr & 4) != 0 ? kRing : 0) |
                           ((mcr & 8) != 0 ? kCarrier : 0));
}

void Uart16550::set_modem_lines(u8 lines)
{
    const unsigned changed = (modem_status_ ^ lines) >> 4;
    const bool ring_ended = (modem_status_ & kRing) != 0 && (lines & kRing) == 0;
    const unsigned deltas = (changed & 0x0b) | (ring_ended ? 0x04 : 0); // TERI: trailing edge only
    modem_status_ = static_cast<u8>(lines | (modem_status_ & 0x0f) | deltas);
}

void Uart16550::write_interrupt_enable(u8 value)
{
    const bool newly_enabled = (value & ~interrupt_enable_ & kEnableTransmit) != 0;
    interrupt_enable_ = value & 0x0f;
    if (newly_enabled && transmit_fifo_.empty()) {
        transmitter_empty_interrupt_ = true;
    }
    update_irq();
}

void Uart16550::write_fifo_control(u8 value)
{
    const bool mode_changes = ((fifo_control_ ^ value) & 0x01) != 0;
    fifo_control_ = (value & 0x01) != 0 ? value & 0xc9 : 0;
    if (mode_changes || (value & 0x02) != 0) {
        receive_fifo_.clear();
        timeout_ = false;
        timeout_timer_.cancel();
    }
    if (mode_changes || (value & 0x04) != 0) {
        const bool was_empty = transmit_fifo_.empty();
        transmit_fifo_.clear();
        transmitter_empty_interrupt_ = transmitter_empty_interrupt_ || !was_empty;
    }
    schedule_receive();
    update_irq();
}

void Uart16550::write_modem_control(u8 value)
{
    modem_control_ = value & 0x1f;
    set_modem_lines(modem_lines());
    schedule_receive();
    update_irq();
}

u8 Uart16550::pending_interrupt() const
{
    if ((interrupt_enable_ & kEnableLineStatus) != 0 && overrun_) {
        return kLineStatusInterrupt;
    }
    if ((interrupt_enable_ & kEnableReceive) != 0 && receive_fifo_.size() >= receive_trigger()) {
        return kReceiveInterrupt;
    }
    if ((interrupt_enable_ & kEnableReceive) != 0 && timeout_) {
        return kTimeoutInterrupt;
    }
    if ((interrupt_enable_ & kEnableTransmit) != 0 && transmitter_empty_interrupt_) {
        return kTransmitInterrupt;
    }
    if ((interrupt_enable_ & kEnableModemStatus) != 0 && (modem_status_ & 0x0f) != 0) {
        return kModemInterrupt;
    }
    return kNoInterrupt;
}

void Uart16550::update_irq()
{
    // Loopback disconnects the OUT2 pin, too: drivers that probe there must not be interrupted.
    const bool gate = (modem_control_ & kOut2) != 0 && !loopback();
    wiring_.irq.set(gate && pending_interrupt() != kNoInterrupt);
}

u8 Uart16550::read_byte(u16 port)
{
    switch (port & 7) {
    case 0:
        return divisor_latch() ? static_cast<u8>(divisor_) : read_receiver();
    case 1:
        return divisor_latch() ? static_cast<u8>(divisor_ >> 8) : interrupt_enable_;
    case 2:
        return read_identification();
    case 3:
        return line_control_;
    case 4:
        return modem_control_;
    case 5:
        return read_line_status();
    case 6:
        return read_modem_status();
    default:
        return scratch_;
    }
}

void Uart16550::write_byte(u16 port, u8 value)
{
    switch (port & 7) {
    case 0:
        if (divisor_latch()) {
            divisor_ = static_cast<u16>((divisor_ & 0xff00) | value);
        } else {
            write_transmitter(value);
        }
        break;
    case 1:
        if (divisor_latch()) {
            divisor_ = static_cast<u16>((divisor_ & 0x00ff) | value << 8);
        } else {
            write_interrupt_enable(value);
        }
        break;
    case 2:
        write_fifo_control(value);
        break;
    case 3:
        line_control_ = value;
        break;
    case 4:
        write_modem_control(value);
        break;
    case 7:
        scratch_ = value;
        break;
    default:
        break; // the status registers are read-only
    }
}

} // namespace emu::devices
