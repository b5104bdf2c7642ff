#include "emulator/devices/intc/i8259.hpp"

namespace emu::devices {

namespace {

constexpr unsigned kCascade = 2;
constexpr unsigned kNone = 8;
// PIIX3, ELCR: IRQ 0, 1, 2, 8 and 13 are always edge triggered.
constexpr std::array<u8, 2> kElcrWritable{0xf8, 0xde};

constexpr u8 mask_of(unsigned line)
{
    return static_cast<u8>(1u << (line & 7));
}

} // namespace

void I8259::reset()
{
    const u8 lines = lines_; // the wires keep their levels
    const u8 level_triggered = level_triggered_;
    *this = {};
    lines_ = lines;
    level_triggered_ = level_triggered;
    imr_ = 0xff; // nothing may come through before firmware has set a vector base
}

void I8259::visit_state(StateVisitor& v)
{
    v.field("irr", irr_);
    v.field("isr", isr_);
    v.field("imr", imr_);
    v.field("lines", lines_);
    v.field("level_triggered", level_triggered_);
    v.field("vector_base", vector_base_);
    v.field("lowest", lowest_);
    v.field("next_icw", next_icw_);
    v.field("single", single_);
    v.field("needs_icw4", needs_icw4_);
    v.field("auto_eoi", auto_eoi_);
    v.field("rotate_on_auto_eoi", rotate_on_auto_eoi_);
    v.field("special_fully_nested", special_fully_nested_);
    v.field("special_mask", special_mask_);
    v.field("poll", poll_);
    v.field("read_isr", read_isr_);
}

void I8259::set_line(unsigned line, bool level)
{
    const u8 mask = mask_of(line);
    const bool was_high = (lines_ & mask) != 0;
    if (!level) {
        // A request must stay up until INTA in both trigger modes (data sheet, "Interrupt
        // Triggering"), so lowering the line withdraws it.
        lines_ &= static_cast<u8>(~mask);
        irr_ &= static_cast<u8>(~mask);
        return;
    }
    lines_ |= mask;
    if (!was_high || (level_triggered_ & mask) != 0) {
        irr_ |= mask;
    }
}

unsigned I8259::highest_of(u8 lines) const
{
    for (unsigned i = 0; i < 8; ++i) {
        const unsigned line = (lowest_ + 1u + i) & 7;
        if ((lines & mask_of(line)) != 0) {
            return line;
        }
    }
    return kNone;
}

unsigned I8259::highest_request() const
{
    const unsigned request = highest_of(static_cast<u8>(irr_ & ~imr_));
    if (request == kNone) {
        return kNone;
    }
    // Special mask mode: a masked line in service blocks nobody.
    const unsigned serving = highest_of(special_mask_ ? static_cast<u8>(isr_ & ~imr_) : isr_);
    if (serving == kNone || priority_of(request) < priority_of(serving)) {
        return request;
    }
    // Special fully nested mode: the slave may interrupt its own service again.
    if (special_fully_nested_ && request == serving && request == kCascade) {
        return request;
    }
    return kNone;
}

unsigned I8259::acknowledge()
{
    const unsigned line = highest_request();
    if (line == kNone) {
        return 7;
    }
    const u8 mask = mask_of(line);
    if ((level_triggered_ & mask) == 0) {
        irr_ &= static_cast<u8>(~mask);
    }
    if (!auto_eoi_) {
        isr_ |= mask;
    } else if (rotate_on_auto_eoi_) {
        lowest_ = static_cast<u8>(line);
    }
    return line;
}

void I8259::initialise(u8 icw1)
{
    // Data sheet, "Initialization Command Words 1 and 2", items a to f. LTIM (bit 3) is replaced
    // by the ELCR (PIIX3, ICW1).
    irr_ = static_cast<u8>(lines_ & level_triggered_);
    isr_ = 0;
    imr_ = 0;
    lowest_ = 7;
    special_mask_ = false;
    read_isr_ = false;
    poll_ = false;
    single_ = (icw1 & 0x02) != 0;
    needs_icw4_ = (icw1 & 0x01) != 0;
    if (!needs_icw4_) {
        auto_eoi_ = false;
        special_fully_nested_ = false;
    }
    rotate_on_auto_eoi_ = false;
    next_icw_ = 2;
}

void I8259::write_command(u8 value)
{
    if ((value & 0x10) != 0) {
        initialise(value);
    } else if ((value & 0x08) != 0) {
        write_ocw3(value);
    } else {
        write_ocw2(value);
    }
}

void I8259::end_of_interrupt(unsigned line, bool rotate)
{
    if (line == kNone) {
        return;
    }
    isr_ &= static_cast<u8>(~mask_of(line));
    if (rotate) {
        lowest_ = static_cast<u8>(line);
    }
}

void I8259::write_ocw2(u8 value)
{
    const unsigned line = value & 7;
    const bool rotate = (value & 0x80) != 0;
    switch (value >> 5) { // R, SL, EOI
    case 0b000:
    case 0b100:
        rotate_on_auto_eoi_ = rotate;
        break;
    case 0b001:
    case 0b101: // a non-specific EOI leaves masked lines alone in special mask mode
        end_of_interrupt(highest_of(special_mask_ ? static_cast<u8>(isr_ & ~imr_) : isr_), rotate);
        break;
    case 0b011:
    case 0b111:
        end_of_interrupt(line, rotate);
        break;
    case 0b110:
        lowest_ = static_cast<u8>(line);
        break;
    default:
        break; // 010: no operation
    }
}

void I8259::write_ocw3(u8 value)
{
    if ((value & 0x40) != 0) {
        special_mask_ = (value & 0x20) != 0;
    }
    poll_ = (value & 0x04) != 0;
    if (!poll_ && (value & 0x02) != 0) {
        read_isr_ = (value & 0x01) != 0;
    }
}

void I8259::write_data(u8 value)
{
    switch (next_icw_) {
    case 2:
        vector_base_ = value & 0xf8;
        next_icw_ = !single_ ? 3 : needs_icw4_ ? 4 : 0;
        break;
    case 3: // the wiring is fixed: master IR2, slave identity 2
        next_icw_ = needs_icw4_ ? 4 : 0;
        break;
    case 4:
        auto_eoi_ = (value & 0x02) != 0;
        special_fully_nested_ = (value & 0x10) != 0;
        next_icw_ = 0;
        break;
    default:
        imr_ = value;
        break;
    }
}

u8 I8259::read(bool data_port)
{
    if (poll_) {
        poll_ = false;
        if (!output()) {
            return 0;
        }
        return static_cast<u8>(0x80 | acknowledge());
    }
    if (data_port) {
        return imr_;
    }
    return read_isr_ ? isr_ : irr_;
}

I8259Pair::I8259Pair(Wire output)
{
    reset(); // drives nothing yet: what is at the wires' ends may not be constructed
    output_ = std::move(output);
}

void I8259Pair::reset()
{
    elcr_ = {};
    apply_trigger_modes();
    master_.reset();
    slave_.reset();
    update();
}

void I8259Pair::visit_state(StateVisitor& visitor)
{
    visitor.section("i8259");
    visitor.field("master", master_);
    visitor.field("slave", slave_);
    visitor.field("elcr", elcr_);
}

void I8259Pair::apply_trigger_modes()
{
    // The slave's INT counts as a level: the chip drops it during INTA, which would make the edge.
    master_.set_level_triggered(static_cast<u8>(elcr_[0] | mask_of(kCascade)));
    slave_.set_level_triggered(elcr_[1]);
}

void I8259Pair::set_irq(unsigned irq, bool level)
{
    if (irq >= 16 || irq == kCascade) {
        return;
    }
    (irq < 8 ? master_ : slave_).set_line(irq & 7, level);
    update();
}

int I8259Pair::acknowledge()
{
    const unsigned line = master_.acknowledge();
    int vector = master_.vector(line);
    // Only a cascade request that is really in service reaches the slave.
    if (line == kCascade) {
        vector = slave_.vector(slave_.acknowledge());
    }
    update();
    return vector;
}

void I8259Pair::update()
{
    master_.set_line(kCascade, slave_.output());
    output_.set(master_.output());
}

u8 I8259Pair::read_byte(u16 port)
{
    u8 value = 0xff;
    switch (port) {
    case 0x20:
    case 0x21:
        value = master_.read((port & 1) != 0);
        break;
    case 0xa0:
    case 0xa1:
        value = slave_.read((port & 1) != 0);
        break;
    case 0x4d0:
    case 0x4d1:
        return elcr_[port & 1];
    default:
        return value;
    }
    update(); // a poll acknowledges
    return value;
}

void I8259Pair::write_byte(u16 port, u8 value)
{
    I8259& chip = (port & 0x80) != 0 ? slave_ : master_;
    switch (port) {
    case 0x20:
    case 0xa0:
        chip.write_command(value);
        break;
    case 0x21:
    case 0xa1:
        chip.write_data(value);
        break;
    case 0x4d0:
    case 0x4d1:
        elcr_[port & 1] = value & kElcrWritable[port & 1];
        apply_trigger_modes();
        break;
    default:
        return;
    }
    update();
}

} // namespace emu::devices
