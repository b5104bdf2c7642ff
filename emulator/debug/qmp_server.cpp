#include "emulator/debug/qmp_server.hpp"

#include <atomic>
#include <cstdio>

namespace emu::debug {

namespace {

constexpr std::size_t kMaxClients = 1000; // in the life of one machine

} // namespace

struct QmpServer::Client {
    Client(QmpContext context, std::function<void(std::string)> send)
        : session{context, std::move(send)}
    {}
    QmpSession session;
    std::atomic<bool> open = true;
    std::shared_ptr<hostio::Stream> stream; // null when it is on a channel
};

QmpServer::QmpServer(hostio::HostLoop& loop, QmpContext context) : loop_{loop}, context_{context} {}

QmpServer::~QmpServer() = default;

base::Status QmpServer::listen(const hostio::SocketAddress& address)
{
    auto listener = hostio::Listener::create(loop_, address, [this](int fd) { accept(fd); });
    if (!listener) {
        return std::move(listener).error();
    }
    listeners_.push_back(std::move(listener).value());
    return base::ok();
}

QmpServer::Client& QmpServer::add_client(std::function<void(std::string)> send)
{
    const std::lock_guard lock{mutex_};
    clients_.push_back(std::make_unique<Client>(context_, std::move(send)));
    connected_.notify_all();
    return *clients_.back();
}

void QmpServer::accept(int fd)
{
    auto stream = hostio::Stream::create(loop_, fd, fd, hostio::Overflow::drop);
    {
        const std::lock_guard lock{mutex_};
        if (clients_.size() >= kMaxClients) {
            return; // the stream closes the descriptor
        }
    }
    Client& client = add_client([stream](std::string text) { stream->write(text); });
    client.stream = stream;
    stream->start(
        [&client](std::span<const u8> bytes) {
            client.session.received({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        },
        [&client] { client.open = false; });
    client.session.greet();
}

void QmpServer::serve(hostio::Channel& channel)
{
    Client& client = add_client([&channel](std::string text) { channel.write(text); });
    channel.set_receiver([&client](std::span<const u8> bytes) {
        client.session.received({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    });
    client.session.greet();
}

void QmpServer::wait_for_client()
{
    std::unique_lock lock{mutex_};
    if (clients_.empty() && !listeners_.empty()) {
        std::fprintf(stderr, "emulator: waiting for connection on: %s,server=on\n",
                     listeners_.front()->address().text().c_str());
        connected_.wait(lock, [this] { return !clients_.empty(); });
    }
}

void QmpServer::event(MachineEvent event, bool guest, std::string_view reason)
{
    const std::lock_guard lock{mutex_};
    for (const auto& client : clients_) {
        if (client->open) {
            client->session.event(event, guest, reason);
        }
    }
}

void QmpServer::drain(std::chrono::milliseconds limit)
{
    const std::lock_guard lock{mutex_};
    for (const auto& client : clients_) {
        if (client->open && client->stream) {
            client->stream->drain(limit);
        }
    }
}

} // namespace emu::debug
