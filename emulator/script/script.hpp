// A script as data: what docs/script-format.md says, checked and compiled.
#pragma once

#include "base/result.hpp"
#include "emulator/hostio/guest_input.hpp"
#include "emulator/hostio/picture.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace emu::script {

using base::u32;
using base::u64;
using base::u8;

/// One press, release or movement. With `after_ns` = 0 it goes together with the one before it;
/// else it goes when the controller is empty and so much guest time has passed since.
struct InputAction {
    enum class Kind : u8 { key_down, key_up, mouse };
    Kind kind = Kind::key_down;
    u64 after_ns = 0;
    hostio::KeyCode key = 0;
    int dx = 0; // mickeys
    int dy = 0;
    int wheel = 0;
    u8 press = 0; // sets of hostio::MouseButton
    u8 release = 0;
};

enum class Action : u8 {
    wait_screen,
    wait_serial,
    wait_image,
    wait_idle,
    type,
    key,
    mouse,
    screenshot,
    assert_screen,
    forbid_screen
};
inline constexpr std::array<std::string_view, 10> kActionNames{
    "wait_screen", "wait_serial", "wait_image", "wait_idle",     "type",
    "key",         "mouse",       "screenshot", "assert_screen", "forbid_screen"};
constexpr std::string_view name_of(Action action)
{
    return kActionNames[static_cast<std::size_t>(action)];
}

struct Step {
    Action action = Action::wait_screen;
    std::string value_json; // the action's value as in the script
    std::string text;       // what is waited for, or the screenshot's name
    u64 limit_ns = 0;       // waits: guest time until the run has failed
    u32 count = 1;          // wait_serial
    u32 port = 0;           // wait_serial
    u64 idle_ns = 0;        // wait_idle
    hostio::Picture image;  // wait_image
    std::optional<hostio::Place> place;
    u32 tolerance = 0;
    std::vector<InputAction> input; // type, key, mouse
};

struct Script {
    u64 host_limit_s = 600;
    std::vector<Step> steps;
    bool takes_screenshots() const;
};

/// `name` is what messages call the script; pictures are looked for in `folder`. The error's
/// message has one line, "NAME:LINE: text", for every mistake.
base::Result<Script> parse_script(const std::string& toml, const std::string& name,
                                  const std::string& folder);
base::Result<Script> read_script(const std::string& path);

} // namespace emu::script
