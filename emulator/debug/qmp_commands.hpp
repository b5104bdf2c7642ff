// The table of QMP commands.
#pragma once

#include "emulator/debug/qmp.hpp"

#include <nlohmann/json.hpp>
#include <span>

namespace emu::debug {

using Json = nlohmann::json;

/// A command's failure: the class and description of QMP's error object.
struct QmpError {
    std::string error_class;
    std::string description;
};
QmpError generic_error(std::string description);

struct QmpResult {
    Json value = Json::object();
    std::optional<QmpError> error;

    QmpResult() = default;
    QmpResult(Json result) : value(std::move(result)) {}
    QmpResult(QmpError failure) : error{std::move(failure)} {}
};

enum class QmpType : u8 { text, integer, boolean, list, object };

struct QmpArgument {
    std::string_view name; // empty: end of the list
    QmpType type;
    bool optional;
};

struct QmpCommand {
    std::string_view name;
    std::array<QmpArgument, 5> arguments;
    QmpResult (*run)(QmpContext& context, const Json& arguments);
};

std::span<const QmpCommand> qmp_commands();

/// Checks the arguments against the table, with QEMU's messages, and runs the command.
QmpResult run_qmp_command(QmpContext& context, const std::string& name, const Json& arguments);

} // namespace emu::debug
