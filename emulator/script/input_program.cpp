#include "emulator/script/input_program.hpp"

#include <algorithm>

namespace emu::script {

namespace {

using Kind = InputAction::Kind;

constexpr u64 kMillisecond = 1'000'000;     // ns
constexpr u64 kTapHold = 10 * kMillisecond; // how long a typed key is down
constexpr u64 kClickHold = 50 * kMillisecond;
constexpr u64 kBetweenChords = 30 * kMillisecond;
constexpr u64 kSoon = 1; // at the next poll that finds the controller empty

// A PS/2 movement has 9 bits with sign; small steps also suit drivers that clip at 8.
constexpr int kMaxDelta = 127;

// Together at most so many keys' bytes fit a keyboard's 16-byte queue for certain.
constexpr std::size_t kTogether = 4;

InputAction key_action(Kind kind, hostio::KeyCode key, u64 after_ns)
{
    InputAction action;
    action.kind = kind;
    action.key = key;
    action.after_ns = after_ns;
    return action;
}

InputAction mouse_action(u64 after_ns)
{
    InputAction action;
    action.kind = Kind::mouse;
    action.after_ns = after_ns;
    return action;
}

void add_click(std::vector<InputAction>& program, u8 button, u64 after_ns)
{
    program.push_back(mouse_action(after_ns));
    program.back().press = button;
    program.push_back(mouse_action(kClickHold));
    program.back().release = button;
}

} // namespace

base::Result<std::vector<InputAction>> type_program(const std::string& text, u64 gap_ns)
{
    std::vector<InputAction> program;
    const u64 gap = gap_ns > kTapHold ? gap_ns - kTapHold : kSoon;
    for (const char character : text) {
        const auto stroke = hostio::us_key(character);
        if (!stroke) {
            return base::fail(base::Errc::invalid_argument,
                              "a US keyboard has no key for the byte " +
                                  std::to_string(static_cast<u8>(character)) + " in the text");
        }
        if (stroke->shift) {
            program.push_back(key_action(Kind::key_down, hostio::kKeyLeftShift, gap));
        }
        program.push_back(key_action(Kind::key_down, stroke->code, stroke->shift ? 0 : gap));
        program.push_back(key_action(Kind::key_up, stroke->code, kTapHold));
        if (stroke->shift) {
            program.push_back(key_action(Kind::key_up, hostio::kKeyLeftShift, 0));
        }
    }
    return program;
}

base::Result<std::vector<InputAction>> key_program(const std::string& chord, u64 hold_ns,
                                                   u32 repeat)
{
    auto keys = hostio::parse_chord(chord);
    if (!keys) {
        return std::move(keys).error();
    }
    std::vector<InputAction> program;
    for (u32 round = 0; round < repeat; ++round) {
        std::vector<hostio::KeyCode>& order = keys.value();
        for (std::size_t i = 0; i < order.size(); ++i) {
            const u64 after = i == 0 ? kBetweenChords : i % kTogether == 0 ? kSoon : 0;
            program.push_back(key_action(Kind::key_down, order[i], after));
        }
        for (std::size_t i = 0; i < order.size(); ++i) {
            const u64 after = i == 0 ? hold_ns : i % kTogether == 0 ? kSoon : 0;
            program.push_back(key_action(Kind::key_up, order[order.size() - 1 - i], after));
        }
    }
    return program;
}

std::vector<InputAction> mouse_program(const MouseRequest& request)
{
    std::vector<InputAction> program;
    int dx = request.dx;
    int dy = request.dy;
    while (dx != 0 || dy != 0) {
        program.push_back(mouse_action(kSoon));
        InputAction& move = program.back();
        move.dx = std::clamp(dx, -kMaxDelta, kMaxDelta);
        move.dy = std::clamp(dy, -kMaxDelta, kMaxDelta);
        dx -= move.dx;
        dy -= move.dy;
    }
    if (request.press != 0) {
        program.push_back(mouse_action(kSoon));
        program.back().press = request.press;
    }
    if (request.click != 0) {
        add_click(program, request.click, kSoon);
    }
    if (request.double_click != 0) {
        add_click(program, request.double_click, kSoon);
        add_click(program, request.double_click, kClickHold);
    }
    for (int left = request.wheel; left != 0; left -= left > 0 ? 1 : -1) {
        program.push_back(mouse_action(kSoon));
        program.back().wheel = left > 0 ? 1 : -1;
    }
    if (request.release != 0) {
        program.push_back(mouse_action(kSoon));
        program.back().release = request.release;
    }
    return program;
}

} // namespace emu::script
