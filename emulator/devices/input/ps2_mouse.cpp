#include "emulator/devices/input/ps2_mouse.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

constexpr u8 kSetResolution = 0xe8;
constexpr u8 kSetRate = 0xf3;
constexpr u8 kStandardId = 0;
constexpr u8 kWheelId = 3;
constexpr u8 kExplorerId = 4;
constexpr i32 kMostPending = 100'000; // counts; a guest that never asks must not overflow the sum

base::i16 load_i16(std::span<const u8> bytes, std::size_t at)
{
    return static_cast<base::i16>(bytes[at] | bytes[at + 1] << 8);
}

// PS/2 TR, "Scaling 2:1": the table for small counts, doubling from 6 up.
i32 scale(i32 count)
{
    static constexpr std::array<i32, 6> kScaled{0, 1, 1, 3, 6, 9};
    const i32 size = count < 0 ? -count : count;
    const i32 scaled = size < 6 ? kScaled[static_cast<unsigned>(size)] : size * 2;
    return count < 0 ? -scaled : scaled;
}

} // namespace

std::array<u8, 6> mouse_payload(base::i16 dx, base::i16 dy, base::i8 dz, u8 buttons)
{
    return {static_cast<u8>(dx),      static_cast<u8>(dx >> 8), static_cast<u8>(dy),
            static_cast<u8>(dy >> 8), static_cast<u8>(dz),      buttons};
}

void Ps2Mouse::reset()
{
    output_.clear();
    id_ = kStandardId;
    wrap_ = false;
    awaiting_ = 0;
    last_sent_ = 0;
    last_rates_ = {};
    buttons_ = sent_buttons_ = 0;
    set_defaults();
}

void Ps2Mouse::set_defaults()
{
    reporting_ = false;
    remote_ = false;
    scaling_ = false;
    resolution_ = 2;
    rate_ = 100;
    dx_ = dy_ = dz_ = 0;
}

void Ps2Mouse::visit_state(StateVisitor& v)
{
    v.section("ps2-mouse");
    v.field("output", output_);
    v.field("id", id_);
    v.field("reporting", reporting_);
    v.field("remote", remote_);
    v.field("wrap", wrap_);
    v.field("scaling", scaling_);
    v.field("resolution", resolution_);
    v.field("rate", rate_);
    v.field("awaiting", awaiting_);
    v.field("last_sent", last_sent_);
    v.field("last_rates", last_rates_);
    v.field("dx", dx_);
    v.field("dy", dy_);
    v.field("dz", dz_);
    v.field("buttons", buttons_);
    v.field("sent_buttons", sent_buttons_);
}

void Ps2Mouse::deliver(std::span<const u8> payload)
{
    if (payload.size() < 6) {
        return;
    }
    const auto add = [](i32& sum, i32 delta) {
        sum = std::clamp(sum + delta, -kMostPending, kMostPending);
    };
    add(dx_, load_i16(payload, 0));
    add(dy_, -load_i16(payload, 2));
    add(dz_, static_cast<base::i8>(payload[4]));
    buttons_ = payload[5] & 0x1f;
    report_if_changed();
}

void Ps2Mouse::output_taken()
{
    report_if_changed();
}

void Ps2Mouse::report_if_changed()
{
    if (reporting_ && !remote_ && !wrap_ && output_.empty() && awaiting_ == 0) {
        if (id_ == kStandardId) {
            dz_ = 0; // no wheel to report
        }
        if (id_ != kExplorerId) {
            buttons_ &= 0x07; // nor side buttons
        }
        if (changed()) {
            send_report();
        }
    }
}

void Ps2Mouse::send_report()
{
    // A report holds 9 bits of motion; the rest waits for the next one.
    const i32 dx = std::clamp(dx_, -255, 255);
    const i32 dy = std::clamp(dy_, -255, 255);
    dx_ -= dx;
    dy_ -= dy;
    const bool scaled = scaling_ && !remote_;
    const i32 x = scaled ? std::clamp(scale(dx), -255, 255) : dx;
    const i32 y = scaled ? std::clamp(scale(dy), -255, 255) : dy;
    sent_buttons_ = buttons_;
    std::array<u8, 4> report{
        static_cast<u8>(0x08 | (buttons_ & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)),
        static_cast<u8>(x), static_cast<u8>(y), 0};
    if (id_ == kWheelId || id_ == kExplorerId) {
        const i32 dz = std::clamp(dz_, -8, 7);
        dz_ -= dz;
        report[3] = id_ == kWheelId ? static_cast<u8>(dz)
                                    : static_cast<u8>((dz & 0x0f) | (buttons_ & 0x18) << 1);
    }
    const std::size_t length = id_ == kStandardId ? 3 : 4;
    for (std::size_t i = 0; i < length; ++i) {
        send(report[i]);
    }
    last_sent_ = report[length - 1];
}

void Ps2Mouse::send_status()
{
    // Bit 2 is the left button here, bit 0 the right one.
    const unsigned buttons = (buttons_ & 1u) << 2 | (buttons_ & 4u) >> 1 | (buttons_ & 2u) >> 1;
    send(static_cast<u8>(buttons | (scaling_ ? 0x10 : 0) | (reporting_ ? 0x20 : 0) |
                         (remote_ ? 0x40 : 0)));
    send(resolution_);
    send(rate_);
}

void Ps2Mouse::host_write(u8 byte)
{
    if (wrap_ && byte != 0xff && byte != 0xec) {
        send(byte);
        return;
    }
    if (awaiting_ != 0) {
        parameter(byte);
        return;
    }
    output_.clear(); // a command aborts the report being sent
    command(byte);
    if (byte != 0xfe && !output_.empty()) {
        last_sent_ = output_.back();
    }
}

void Ps2Mouse::parameter(u8 byte)
{
    const u8 command_byte = awaiting_;
    awaiting_ = 0;
    if (command_byte == kSetResolution) {
        if (byte > 3) {
            send(kPs2Resend);
            return;
        }
        resolution_ = byte;
    } else {
        rate_ = byte;
        last_rates_ = {last_rates_[1], last_rates_[2], byte};
        if (last_rates_ == std::array<u8, 3>{200, 100, 80} && id_ == kStandardId) {
            id_ = kWheelId;
        } else if (last_rates_ == std::array<u8, 3>{200, 200, 80} && id_ != kExplorerId) {
            id_ = kExplorerId;
        }
    }
    send(kPs2Acknowledge);
}

void Ps2Mouse::command(u8 byte)
{
    if (byte == 0xff) {
        reset();
        send(kPs2Acknowledge);
        send(kPs2SelfTestPassed);
        send(id_);
        return;
    }
    send(kPs2Acknowledge);
    switch (byte) {
    case 0xe6:
        scaling_ = false;
        break;
    case 0xe7:
        scaling_ = true;
        break;
    case kSetResolution:
    case kSetRate:
        awaiting_ = byte;
        break;
    case 0xe9:
        send_status();
        break;
    case 0xea:
        remote_ = false;
        dx_ = dy_ = dz_ = 0;
        break;
    case 0xeb:
        send_report();
        break;
    case 0xec:
        wrap_ = false;
        break;
    case 0xee:
        wrap_ = true;
        break;
    case 0xf0:
        remote_ = true;
        dx_ = dy_ = dz_ = 0;
        break;
    case 0xf2:
        send(id_);
        break;
    case 0xf4:
        reporting_ = true;
        dx_ = dy_ = dz_ = 0;
        break;
    case 0xf5:
        reporting_ = false;
        dx_ = dy_ = dz_ = 0;
        break;
    case 0xf6:
        set_defaults();
        break;
    case 0xfe:
        output_.clear();
        send(last_sent_);
        break;
    default:
        output_.clear();
        send(kPs2Resend);
        break;
    }
}

} // namespace emu::devices
