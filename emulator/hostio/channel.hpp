// Character back ends: the host ends of serial ports, consoles and monitors.
#pragma once

#include "base/result.hpp"
#include "emulator/hostio/socket_address.hpp"
#include "emulator/hostio/stream.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace emu::hostio {

struct ChannelSpec {
    enum class Kind : u8 { null, stdio, file, socket, pty };
    Kind kind = Kind::null;
    std::string id;        // names it in `info chardev`
    std::string path;      // file
    bool append = false;   // file
    SocketAddress address; // socket
    bool server = false;   // socket
    bool wait = true;      // server: the machine starts when the first client has come
    bool mux = false;      // several front ends share it, Ctrl-A c goes to the next
    bool signals = true;   // stdio: Ctrl-C ends the program rather than going to the guest
    std::string log_path;  // a copy of what is written
    bool log_append = false;
};

/// A two-way byte channel with at most one other side at a time.
class Channel {
public:
    using Receiver = Stream::Receiver;
    using Opened = std::function<void(bool connected)>;

    explicit Channel(std::string id) : id_{std::move(id)} {}
    virtual ~Channel() = default;

    /// Any thread. Bytes written while nobody is connected are lost, as on a wire.
    void write(std::span<const u8> bytes);
    void write(std::string_view text);

    /// Before the loop starts; called on the loop's thread.
    void set_receiver(Receiver receiver) { receiver_ = std::move(receiver); }
    void set_opened(Opened opened) { opened_ = std::move(opened); }

    const std::string& id() const { return id_; }
    virtual std::string description() const = 0; // as `info chardev` says it
    virtual void drain(std::chrono::milliseconds) {}

    /// Blocks until a client is there, for servers with wait=on.
    virtual void wait_for_client() {}
    void set_log(std::shared_ptr<Stream> log) { log_ = std::move(log); }
    void drain_log(std::chrono::milliseconds limit);

protected:
    virtual void send(std::span<const u8> bytes) = 0;
    void received(std::span<const u8> bytes);
    void opened(bool connected);

private:
    std::string id_;
    Receiver receiver_;
    Opened opened_;
    std::shared_ptr<Stream> log_;
};

/// Opens what `spec` says. Errors name the file or address.
base::Result<std::unique_ptr<Channel>> open_channel(HostLoop& loop, const ChannelSpec& spec);

/// "stdio", "null", "pty", "file:PATH", "unix:PATH[,server=on][,wait=off]", "tcp:HOST:PORT[,…]",
/// each with an optional "mon:" before it (mux). Errors name what is wrong.
base::Result<ChannelSpec> parse_channel(const std::string& text);

} // namespace emu::hostio
