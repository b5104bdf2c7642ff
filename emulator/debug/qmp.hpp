// QMP, QEMU's machine protocol: JSON commands in, answers and events out.
//
// Source: QEMU documentation, "QEMU Machine Protocol Specification" (greeting, capabilities,
// error classes, events) and "QEMU QMP Reference Manual" (the shape of each command).
#pragma once

#include "emulator/debug/json_splitter.hpp"
#include "emulator/debug/monitor.hpp"

#include <nlohmann/json_fwd.hpp>

namespace emu::debug {

/// What the commands work on; shared by all sessions. Machine thread.
struct QmpContext {
    Target& target;
    Monitor& monitor;
};

/// One client. The bytes may come in any pieces; answers and events go to `send`.
class QmpSession {
public:
    /// `send` gets whole lines and may be called on any thread.
    QmpSession(QmpContext context, std::function<void(std::string)> send);

    /// Sends the greeting; until `qmp_capabilities` no other command is known.
    void greet();

    /// Host loop's thread: commands are posted to the machine, in order.
    void received(std::string_view bytes);

    /// Machine thread. Nothing is sent before the capabilities were negotiated.
    void event(MachineEvent event, bool guest, std::string_view reason);

    /// Machine thread: answers one message; for tests too.
    void execute(const std::string& text);

    bool negotiated() const { return negotiated_; }

private:
    void answer(const nlohmann::json& message);

    QmpContext context_;
    std::function<void(std::string)> send_;
    JsonSplitter splitter_;
    bool negotiated_ = false;
};

} // namespace emu::debug
