#include "emulator/debug/qmp.hpp"

#include "emulator/debug/qmp_commands.hpp"

#include <chrono>

namespace emu::debug {

namespace {

std::string line(const Json& json)
{
    return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\r\n";
}

Json error_json(const QmpError& error)
{
    return {{"error", {{"class", error.error_class}, {"desc", error.description}}}};
}

Json timestamp()
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto micro = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    return {{"seconds", micro / 1'000'000}, {"microseconds", micro % 1'000'000}};
}

/// The members of a request besides "execute" and "arguments".
std::optional<QmpError> check_members(const Json& request)
{
    if (!request.is_object()) {
        return generic_error("QMP input must be a JSON object");
    }
    for (const auto& [key, value] : request.items()) {
        if (key != "execute" && key != "arguments" && key != "id") {
            return generic_error("QMP input member '" + key + "' is unexpected");
        }
    }
    if (!request.contains("execute")) {
        return generic_error("QMP input lacks member 'execute'");
    }
    if (!request["execute"].is_string()) {
        return generic_error("QMP input member 'execute' must be a string");
    }
    if (request.contains("arguments") && !request["arguments"].is_object()) {
        return generic_error("QMP input member 'arguments' must be an object");
    }
    return std::nullopt;
}

} // namespace

QmpSession::QmpSession(QmpContext context, std::function<void(std::string)> send)
    : context_{context}, send_{std::move(send)}
{}

void QmpSession::greet()
{
    // The version is the one of the QEMU whose command shapes these are.
    const Json greeting{
        {"QMP",
         {{"version",
           {{"qemu", {{"micro", 0}, {"minor", 2}, {"major", 7}}}, {"package", "Menagerie 0.1.0"}}},
          {"capabilities", Json::array()}}}};
    send_(line(greeting));
}

void QmpSession::received(std::string_view bytes)
{
    const bool good = splitter_.feed(bytes, [this](std::string_view text) {
        context_.target.machine->post([this, copy = std::string{text}] { execute(copy); });
    });
    if (!good) {
        send_(line(error_json(generic_error("JSON token size or nesting limit exceeded"))));
    }
}

void QmpSession::execute(const std::string& text)
{
    const Json request = Json::parse(text, nullptr, false);
    if (request.is_discarded()) {
        answer(error_json(generic_error("Invalid JSON syntax")));
        return;
    }
    Json reply;
    if (const auto bad = check_members(request)) {
        reply = error_json(*bad);
    } else {
        const std::string name = request["execute"];
        const Json arguments = request.value("arguments", Json::object());
        if (name == "qmp_capabilities") {
            reply = negotiated_
                        ? error_json({"CommandNotFound", "Capabilities negotiation is already "
                                                         "complete, command ignored"})
                        : Json{{"return", Json::object()}};
            negotiated_ = true;
        } else if (!negotiated_) {
            reply = error_json(
                {"CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'"});
        } else {
            const QmpResult result = run_qmp_command(context_, name, arguments);
            reply = result.error ? error_json(*result.error) : Json{{"return", result.value}};
        }
    }
    if (request.is_object() && request.contains("id")) {
        reply["id"] = request["id"];
    }
    answer(reply);
}

void QmpSession::answer(const Json& message)
{
    send_(line(message));
}

void QmpSession::event(MachineEvent event, bool guest, std::string_view reason)
{
    if (!negotiated_) {
        return;
    }
    constexpr std::string_view kNames[] = {"STOP", "RESUME", "RESET", "POWERDOWN", "SHUTDOWN"};
    Json message{{"timestamp", timestamp()}, {"event", kNames[static_cast<std::size_t>(event)]}};
    if (event == MachineEvent::reset || event == MachineEvent::shutdown) {
        message["data"] = {{"guest", guest}, {"reason", reason}};
    }
    send_(line(message));
}

} // namespace emu::debug
