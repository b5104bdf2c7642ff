#include "emulator/hostio/mux.hpp"

namespace emu::hostio {

namespace {

constexpr u8 kEscape = 0x01; // Ctrl-A

constexpr std::string_view kHelp = "\r\n"
                                   "Ctrl-A h    print this help\r\n"
                                   "Ctrl-A x    exit emulator\r\n"
                                   "Ctrl-A c    switch between console and monitor\r\n"
                                   "Ctrl-A Ctrl-A  send Ctrl-A\r\n";

} // namespace

class Mux::Front : public Channel {
public:
    Front(std::string id, Mux& mux) : Channel{std::move(id)}, mux_{mux} {}
    std::string description() const override { return "mux:" + mux_.channel_->description(); }
    void drain(std::chrono::milliseconds limit) override { mux_.channel_->drain(limit); }
    void give(std::span<const u8> bytes) { received(bytes); }
    void focus() { opened(true); }

protected:
    void send(std::span<const u8> bytes) override { mux_.channel_->write(bytes); }

private:
    Mux& mux_;
};

Mux::Mux(std::unique_ptr<Channel> channel, std::function<void()> on_quit)
    : channel_{std::move(channel)}, on_quit_{std::move(on_quit)}
{
    channel_->set_receiver([this](std::span<const u8> bytes) { received(bytes); });
}

Mux::~Mux() = default;

Channel& Mux::add_front(std::string id)
{
    fronts_.push_back(std::make_unique<Front>(std::move(id), *this));
    return *fronts_.back();
}

void Mux::received(std::span<const u8> bytes)
{
    for (const u8 byte : bytes) {
        if (escaped_) {
            escaped_ = false;
            command(byte);
        } else if (byte == kEscape) {
            escaped_ = true;
        } else if (!fronts_.empty()) {
            fronts_[focus_]->give({&byte, 1});
        }
    }
}

void Mux::command(u8 key)
{
    if (key == kEscape && !fronts_.empty()) {
        fronts_[focus_]->give({&key, 1});
    } else if (key == 'x') {
        on_quit_();
    } else if (key == 'c' && !fronts_.empty()) {
        focus_ = (focus_ + 1) % fronts_.size();
        fronts_[focus_]->focus();
    } else if (key == 'h' || key == '?') {
        channel_->write(kHelp);
    }
}

} // namespace emu::hostio
