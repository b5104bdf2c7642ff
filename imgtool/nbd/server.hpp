// A server: accepts clients and serves each from a thread of its own.
#pragma once

#include "imgtool/nbd/export.hpp"
#include "imgtool/nbd/socket.hpp"
#include "imgtool/nbd/tls.hpp"

#include <atomic>
#include <cstddef>
#include <list>
#include <thread>

namespace img::nbd {

class Server {
public:
    struct Settings {
        std::size_t max_clients = 16; // at once; others wait to be accepted
        bool once = false;            // ends when the last client has left
        bool tls_required = false;
        const TlsCredentials* credentials = nullptr; // null: no TLS
        SocketStream::Limits limits = {};
    };
    /// The export must outlive the server.
    Server(Export& offered, const Settings& settings) : offered_{offered}, settings_{settings} {}

    /// Serves until `quit` is readable (or the last client has left). Clients' requests that are
    /// being carried out are finished and answered; nothing is flushed.
    base::Status run(const Listener& listener, int quit);

private:
    struct Client {
        std::thread thread;
        std::atomic<bool> done = false;
    };
    /// File descriptors that wake the threads.
    struct Events {
        Descriptor stop; // readable: all clients are to leave
        Descriptor left; // readable: a client has left
    };

    base::Status accept_one(int listener, const Events& events);
    base::Status serve(const Listener& listener, int quit, const Events& events);
    void join_finished();

    Export& offered_;
    Settings settings_;
    std::list<Client> clients_;
    bool had_client_ = false;
};

} // namespace img::nbd
