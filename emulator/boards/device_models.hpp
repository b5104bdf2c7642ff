// The device models that a command line may name, so that all others can be refused by name.
#pragma once

#include <span>
#include <string_view>

namespace emu::boards {

struct DeviceModel {
    std::string_view name; // as `-device NAME`
    std::string_view what;
};

/// Models the PC boards can have, in alphabetical order.
std::span<const DeviceModel> known_device_models();
const DeviceModel* find_device_model(std::string_view name);

} // namespace emu::boards
