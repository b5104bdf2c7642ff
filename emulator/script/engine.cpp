#include "emulator/script/engine.hpp"

#include "emulator/hostio/code_page.hpp"
#include "emulator/hostio/picture.hpp"

#include <algorithm>

namespace emu::script {

namespace {

constexpr u64 kInputLimitNs = 10'000'000'000; // a guest that takes no key for so long is stuck

} // namespace

Engine::Engine(Script script, Target target)
    : script_{std::move(script)}, target_{std::move(target)}, records_(script_.steps.size()),
      serial_from_(target_.serial.size(), 0)
{}

std::string Engine::screen_text() const
{
    const auto text = target_.display == nullptr ? std::nullopt : target_.display->text();
    return text ? hostio::screen_text(*text) : std::string{};
}

bool Engine::in_text_mode() const
{
    return target_.display != nullptr && target_.display->text().has_value();
}

Frame Engine::picture() const
{
    Frame frame;
    if (target_.display != nullptr) {
        target_.display->render(frame);
    }
    return frame;
}

bool Engine::on_screen(const std::string& text) const
{
    return screen_text().find(text) != std::string::npos;
}

void Engine::fail(const std::string& reason)
{
    if (over_) {
        return;
    }
    over_ = true;
    reason_ = reason;
    if (current_ < records_.size()) {
        records_[current_].result = StepResult::failed;
        records_[current_].ended_ns = target_.now_ns();
    }
}

std::string Engine::describe(const Step& step) const
{
    return "step " + std::to_string(current_ + 1) + " (" + std::string{name_of(step.action)} +
           " = " + step.value_json + ")";
}

void Engine::begin_step()
{
    const u64 now = target_.now_ns();
    begun_ = true;
    records_[current_].began_ns = now;
    next_input_ = 0;
    last_progress_ns_ = now;
    idle_since_ns_ = now;
    seen_text_.reset();
    seen_frame_ = {};
    seen_activity_ = ~u64{0};
}

bool Engine::poll()
{
    if (!forbidden_.empty() && !over_) {
        const std::string screen = screen_text();
        for (const std::string& text : forbidden_) {
            if (screen.find(text) != std::string::npos) {
                fail("forbidden text is on the screen: " + text);
                break;
            }
        }
    }
    while (!over_ && current_ < script_.steps.size()) {
        const Step& step = script_.steps[current_];
        if (!begun_) {
            begin_step();
        }
        const Progress progress = run_step(step);
        if (progress == Progress::waiting) {
            return false;
        }
        if (progress == Progress::failed) {
            break; // fail() has been called
        }
        records_[current_].result = StepResult::passed;
        records_[current_].ended_ns = target_.now_ns();
        ++current_;
        begun_ = false;
    }
    over_ = true;
    return true;
}

Engine::Progress Engine::run_step(const Step& step)
{
    switch (step.action) {
    case Action::wait_screen:
        return wait(step, on_screen(step.text));
    case Action::wait_serial:
        return wait(step, serial_seen(step));
    case Action::wait_image:
        return wait(step, image_seen(step));
    case Action::wait_idle:
        return wait(step, idle_seen(step));
    case Action::type:
    case Action::key:
    case Action::mouse:
        return send_input(step);
    case Action::screenshot:
        records_[current_].picture = hostio::encode_png(picture());
        records_[current_].picture_text = screen_text();
        return Progress::passed;
    case Action::assert_screen:
        if (!on_screen(step.text)) {
            fail(describe(step) + ": the text is not on the screen");
            return Progress::failed;
        }
        return Progress::passed;
    case Action::forbid_screen:
        forbidden_.push_back(step.text);
        if (on_screen(step.text)) {
            fail("forbidden text is on the screen: " + step.text);
            return Progress::failed;
        }
        return Progress::passed;
    }
    return Progress::passed;
}

Engine::Progress Engine::wait(const Step& step, bool seen)
{
    if (seen) {
        return Progress::passed;
    }
    if (target_.now_ns() - records_[current_].began_ns >= step.limit_ns) {
        fail(describe(step) + ": not within " +
             std::to_string(static_cast<double>(step.limit_ns) / 1e9) + " s of guest time");
        return Progress::failed;
    }
    return Progress::waiting;
}

bool Engine::serial_seen(const Step& step)
{
    if (step.port >= target_.serial.size() || target_.serial[step.port] == nullptr) {
        return false;
    }
    const std::string& text = target_.serial[step.port]->text();
    std::size_t at = serial_from_[step.port];
    for (u32 n = 0; n < step.count; ++n) {
        at = text.find(step.text, at);
        if (at == std::string::npos) {
            return false;
        }
        at += step.text.size();
    }
    serial_from_[step.port] = at;
    return true;
}

bool Engine::image_seen(const Step& step) const
{
    const Frame frame = picture();
    return step.place ? hostio::matches_at(frame, step.image, *step.place, step.tolerance)
                      : hostio::find_picture(frame, step.image, step.tolerance).has_value();
}

/// Text modes are compared as text, so that a blinking cursor is no change.
bool Engine::screen_changed()
{
    if (target_.display == nullptr) {
        return false;
    }
    auto text = target_.display->text();
    if (text) {
        const bool same = seen_text_ && seen_text_->characters == text->characters &&
                          seen_text_->attributes == text->attributes &&
                          seen_text_->cursor_column == text->cursor_column &&
                          seen_text_->cursor_row == text->cursor_row;
        seen_text_ = std::move(text);
        seen_frame_ = {};
        return !same;
    }
    Frame frame = picture();
    const bool same = !seen_text_ && frame.width == seen_frame_.width &&
                      frame.height == seen_frame_.height && frame.pixels == seen_frame_.pixels;
    seen_text_.reset();
    seen_frame_ = std::move(frame);
    return !same;
}

bool Engine::idle_seen(const Step& step)
{
    u64 activity = target_.disk_activity ? target_.disk_activity() : 0;
    for (const SerialRecord* serial : target_.serial) {
        activity += serial == nullptr ? 0 : serial->count();
    }
    const bool changed = screen_changed(); // always looked at: it remembers
    const u64 now = target_.now_ns();
    if (changed || activity != seen_activity_) {
        seen_activity_ = activity;
        idle_since_ns_ = now;
    }
    return now - idle_since_ns_ >= step.idle_ns;
}

bool Engine::ready_for(const InputAction& action) const
{
    const auto& ready =
        action.kind == InputAction::Kind::mouse ? target_.mouse_ready : target_.keyboard_ready;
    return !ready || ready();
}

void Engine::send(const InputAction& action)
{
    switch (action.kind) {
    case InputAction::Kind::key_down:
        target_.input->key(action.key, true);
        break;
    case InputAction::Kind::key_up:
        target_.input->key(action.key, false);
        break;
    case InputAction::Kind::mouse:
        buttons_ = static_cast<u8>((buttons_ | action.press) & ~action.release);
        target_.input->mouse(action.dx, action.dy, action.wheel, buttons_);
        break;
    }
}

Engine::Progress Engine::send_input(const Step& step)
{
    const u64 now = target_.now_ns();
    const std::vector<InputAction>& input = step.input;
    const InputAction& next = input[std::min(next_input_, input.size() - 1)];
    const bool all_sent = next_input_ == input.size();
    if (ready_for(next) && now > last_input_ns_) { // what was posted now is not in the device yet
        if (all_sent) {
            return Progress::passed;
        }
        if (now - last_input_ns_ >= next.after_ns) {
            do {
                send(input[next_input_++]);
            } while (next_input_ < input.size() && input[next_input_].after_ns == 0);
            last_input_ns_ = now;
        }
        last_progress_ns_ = now;
    } else if (now - last_progress_ns_ >= kInputLimitNs) {
        fail(describe(step) + (next.kind == InputAction::Kind::mouse
                                   ? ": the guest does not read its mouse"
                                   : ": the guest does not read its keyboard"));
        return Progress::failed;
    }
    return Progress::waiting;
}

} // namespace emu::script
