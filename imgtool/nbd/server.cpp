#include "imgtool/nbd/server.hpp"

#include "imgtool/nbd/transmission.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace img::nbd {

namespace {

using base::Errc;
using base::fail;

constexpr int kPause = 100; // milliseconds, before clients are accepted again after that failed

void raise(const Descriptor& event)
{
    const u64 one = 1;
    // Fails only when it is raised already.
    if (::write(event.get(), &one, sizeof one) < 0) {
        return;
    }
}

Status host_error(const std::string& what)
{
    return fail(Errc::io, what + ": " + std::strerror(errno));
}

} // namespace

Status Server::run(const Listener& listener, int quit)
{
    const Events events{Descriptor{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
                        Descriptor{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}};
    if (events.stop.get() < 0 || events.left.get() < 0) {
        return host_error("eventfd");
    }
    auto served = serve(listener, quit, events);
    raise(events.stop);
    for (Client& client : clients_) {
        client.thread.join();
    }
    clients_.clear();
    return served;
}

Status Server::serve(const Listener& listener, int quit, const Events& events)
{
    for (bool pause = false;;) {
        const bool room = clients_.size() < settings_.max_clients && !pause;
        std::array<pollfd, 3> polled{
            {{quit, POLLIN, 0}, {events.left.get(), POLLIN, 0}, {listener.fd(), POLLIN, 0}}};
        const int ready = ::poll(polled.data(), room ? 3 : 2, pause ? kPause : -1);
        if (ready < 0 && errno != EINTR) {
            return host_error("poll");
        }
        pause = false;
        if (ready <= 0) {
            continue;
        }
        if (polled[0].revents != 0) {
            return base::ok();
        }
        if (polled[1].revents != 0) {
            join_finished();
            u64 count = 0;
            if (::read(events.left.get(), &count, sizeof count) > 0) {
                join_finished(); // those that came in between
            }
            if (settings_.once && had_client_ && clients_.empty()) {
                return base::ok();
            }
        }
        if (polled[2].revents != 0) {
            pause = !accept_one(listener.fd(), events);
        }
    }
}

void Server::join_finished()
{
    for (auto client = clients_.begin(); client != clients_.end();) {
        if (client->done) {
            client->thread.join();
            client = clients_.erase(client);
        } else {
            ++client;
        }
    }
}

Status Server::accept_one(int listener, const Events& events)
{
    Descriptor fd{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (fd.get() < 0) {
        // The client may have gone; anything else (no more descriptors) is tried again later.
        const bool gone = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
        return gone ? base::ok() : host_error("accept");
    }
    Client& client = clients_.emplace_back();
    try {
        client.thread = std::thread{[this, &client, &events, fd = std::move(fd)]() mutable {
            try {
                SocketStream stream{std::move(fd), events.stop.get(), settings_.credentials,
                                    settings_.limits};
                serve_client(stream, offered_, settings_.tls_required);
            } catch (const std::bad_alloc&) {
                // This client has to go; the others stay.
            }
            client.done = true;
            raise(events.left);
        }};
    } catch (const std::system_error& error) {
        clients_.pop_back();
        return fail(Errc::io, error.what());
    }
    had_client_ = true;
    return base::ok();
}

} // namespace img::nbd
