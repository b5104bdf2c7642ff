#include "emulator/debug/monitor_session.hpp"

namespace emu::debug {

namespace {

// The prompt that tools which drive a monitor wait for.
constexpr std::string_view kPrompt = "(qemu) ";
constexpr std::string_view kGreeting =
    "Menagerie 0.1.0 monitor - type 'help' for more information\r\n";
constexpr std::size_t kMaxLine = 4096;

std::string with_carriage_returns(const std::string& text)
{
    std::string out;
    for (const char c : text) {
        out += c == '\n' ? "\r\n" : std::string(1, c);
    }
    return out;
}

} // namespace

MonitorSession::MonitorSession(Monitor& monitor, Machine& machine, hostio::Channel& channel)
    : monitor_{monitor}, machine_{machine}, channel_{channel}
{
    channel_.set_receiver([this](std::span<const u8> bytes) { received(bytes); });
    channel_.set_opened([this](bool connected) {
        line_.clear();
        greeted_ = false;
        if (connected) {
            greet();
        }
    });
}

void MonitorSession::greet()
{
    greeted_ = true;
    channel_.write(kGreeting);
    channel_.write(kPrompt);
}

void MonitorSession::received(std::span<const u8> bytes)
{
    if (!greeted_) {
        greet();
    }
    for (const u8 byte : bytes) {
        if (byte == '\r' || byte == '\n') {
            submit();
        } else if (byte == 0x7f || byte == '\b') {
            if (!line_.empty()) {
                line_.pop_back();
                channel_.write("\b \b");
            }
        } else if (byte == 0x15) { // Ctrl-U
            line_.clear();
            channel_.write("\r\n");
            channel_.write(kPrompt);
        } else if (byte >= 0x20 && line_.size() < kMaxLine) {
            line_ += static_cast<char>(byte);
            channel_.write(std::span{&byte, 1});
        }
    }
}

void MonitorSession::submit()
{
    channel_.write("\r\n");
    machine_.post([this, line = std::move(line_)] {
        channel_.write(with_carriage_returns(monitor_.execute(line)));
        channel_.write(kPrompt);
    });
    line_.clear();
}

} // namespace emu::debug
