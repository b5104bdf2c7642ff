// QMP clients on sockets and channels.
#pragma once

#include "emulator/debug/qmp.hpp"
#include "emulator/hostio/channel.hpp"

#include <map>
#include <mutex>

namespace emu::debug {

/// Sessions are made and fed on the host loop's thread; events come from the machine's. A session
/// object lives until the server's end, because the machine may still hold a command of it.
class QmpServer {
public:
    QmpServer(hostio::HostLoop& loop, QmpContext context);
    ~QmpServer();

    /// Any number of clients at `address`.
    base::Status listen(const hostio::SocketAddress& address);
    /// One client on standard input, a pty or an outgoing connection.
    void serve(hostio::Channel& channel);

    /// Blocks until a client has connected and sent qmp_capabilities (wait=on).
    void wait_for_client();

    /// Machine thread.
    void event(MachineEvent event, bool guest, std::string_view reason);

    /// Waits until what was written has been sent.
    void drain(std::chrono::milliseconds limit);

private:
    struct Client;
    void accept(int fd);
    Client& add_client(std::function<void(std::string)> send);

    hostio::HostLoop& loop_;
    QmpContext context_;
    std::vector<std::unique_ptr<hostio::Listener>> listeners_;
    std::mutex mutex_;
    std::condition_variable connected_;
    std::vector<std::unique_ptr<Client>> clients_;
};

} // namespace emu::debug
