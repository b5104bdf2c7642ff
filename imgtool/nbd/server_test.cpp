#include "imgtool/nbd/server.hpp"

#include "imgtool/nbd/script_stream.hpp"
#include "imgtool/nbd/test_disk.hpp"
#include "imgtool/tests/support.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace img;
using namespace img::nbd;
using img::test::need;
using img::test::TempDir;

namespace {

constexpr u64 kSize = u64{1} << 20;       // bytes of the disk
constexpr std::chrono::seconds kLong{60}; // far longer than any test

/// A server with a thread of its own.
class Running {
public:
    explicit Running(Server::Settings settings)
        : quit_{::eventfd(0, EFD_CLOEXEC)}, offered_{*disk_.disk, {}}, server_{offered_, settings},
          listener_{need(Listener::on_unix(path()))}, thread_{[this] {
              result_ = server_.run(listener_, quit_.get());
          }}
    {}
    ~Running() { stop(); }

    void stop()
    {
        const u64 one = 1;
        CHECK(::write(quit_.get(), &one, sizeof one) == sizeof one);
        join();
    }
    void join()
    {
        if (thread_.joinable()) {
            thread_.join();
            CHECK(result_);
        }
    }
    std::string path() const { return folder_ / "socket"; }
    TestState& state() { return *disk_.state; }

private:
    TempDir folder_;
    TestDisk disk_{kSize};
    Descriptor quit_;
    Export offered_;
    Server server_;
    Listener listener_;
    Status result_ = base::ok();
    std::thread thread_;
};

class Client {
public:
    explicit Client(const Running& server) : fd_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::ranges::copy(server.path(), address.sun_path);
        REQUIRE(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                0);
    }
    /// One that has chosen the export.
    static Client ready(const Running& server)
    {
        Client client{server};
        client.send(Script{}.number<u32>(3).option(1));
        REQUIRE(client.receive(18 + 10).size() == 28);
        return client;
    }

    void send(const Script& script)
    {
        const auto& bytes = script.bytes();
        CHECK(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
    }
    /// As many bytes as come before the server closes the connection or `n` are there.
    std::vector<u8> receive(std::size_t n)
    {
        std::vector<u8> bytes(n);
        const ssize_t got = ::recv(fd_.get(), bytes.data(), n, MSG_WAITALL);
        bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return bytes;
    }
    bool is_silent_for(int milliseconds)
    {
        pollfd polled{fd_.get(), POLLIN, 0};
        return ::poll(&polled, 1, milliseconds) == 0;
    }
    bool can_read()
    {
        send(Script{}.request(0, 0, 4));
        return receive(20).size() == 20;
    }

private:
    Descriptor fd_;
};

Server::Settings patient()
{
    return {.limits = {.handshake = kLong, .stall = kLong, .stop = std::chrono::milliseconds{100}}};
}

} // namespace

TEST_CASE("nbd server: two clients at once share the disk")
{
    Running server{patient()};
    Client a = Client::ready(server);
    Client b = Client::ready(server);
    a.send(Script{}.request(1, 7, 3).text("abc"));
    CHECK(a.receive(16).size() == 16);
    b.send(Script{}.request(0, 7, 3));
    const auto answer = b.receive(19);
    REQUIRE(answer.size() == 19);
    CHECK(answer[18] == 'c');
    CHECK(a.can_read());
}

TEST_CASE("nbd server: a client that says nothing blocks nobody and is put out in time")
{
    auto settings = patient();
    settings.limits.handshake = std::chrono::milliseconds{300};
    Running server{settings};
    Client silent{server};
    Client slow{server};
    slow.send(Script{}.number<u32>(3));
    Client other = Client::ready(server);
    CHECK(other.can_read());
    CHECK(silent.receive(100).size() == 18); // the greeting, then the end
    CHECK(slow.receive(100).size() == 18);
    CHECK(other.can_read()); // the limit was that of the handshake
}

TEST_CASE("nbd server: a client that takes no answers blocks nobody and is put out in time")
{
    auto settings = patient();
    settings.limits.stall = std::chrono::milliseconds{300};
    settings.max_clients = 2;
    Running server{settings};
    Client greedy = Client::ready(server);
    Script many;
    for (int i = 0; i < 16; ++i) {
        many.request(0, 0, kSize);
    }
    greedy.send(many);
    Client other = Client::ready(server);
    CHECK(other.can_read());
    Client third = Client::ready(server); // in the place of the first
    CHECK(third.can_read());
    CHECK(greedy.receive(16 * (kSize + 16)).size() < 16 * (kSize + 16));
}

TEST_CASE("nbd server: a client that stops in the midst of a request is put out in time")
{
    auto settings = patient();
    settings.limits.stall = std::chrono::milliseconds{300};
    Running server{settings};
    Client idle = Client::ready(server);
    Client slow = Client::ready(server);
    slow.send(Script{}.request(1, 0, 100).text("abc"));
    CHECK(slow.receive(1).empty());
    CHECK(idle.can_read()); // doing nothing between requests is allowed
}

TEST_CASE("nbd server: clients over the limit wait until another leaves")
{
    auto settings = patient();
    settings.max_clients = 2;
    Running server{settings};
    auto first = std::make_unique<Client>(Client::ready(server));
    Client second = Client::ready(server);
    Client third{server};
    CHECK(third.is_silent_for(200));
    CHECK(second.can_read());
    first.reset();
    CHECK(third.receive(18).size() == 18);
}

TEST_CASE("nbd server: clients that vanish leave the others alone")
{
    Running server{patient()};
    Client steady = Client::ready(server);
    for (u32 i = 0; i < 40; ++i) {
        Client client = Client::ready(server);
        Script script;
        script.request(1, 0, 100'000).data(img::test::noise(i * 2500, i));
        client.send(script);
    }
    for (u32 i = 0; i < 40; ++i) {
        Client client{server};
        client.send(Script{}.data(img::test::noise(i * 100, i)));
    }
    CHECK(steady.can_read());
}

TEST_CASE("nbd server: it stops at once, whatever its clients are doing")
{
    Running server{patient()};
    Client idle = Client::ready(server);
    Client handshaking{server};
    Client writing = Client::ready(server);
    writing.send(Script{}.request(1, 0, 100).text("abc"));
    Client greedy = Client::ready(server);
    greedy.send(Script{}.request(0, 0, kSize).request(0, 0, kSize));
    CHECK(greedy.receive(1).size() == 1);
    const auto start = std::chrono::steady_clock::now();
    server.stop();
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{20});
    CHECK(idle.receive(1).empty());
    CHECK(writing.receive(1).empty());
}

TEST_CASE("nbd server: with `once` it ends when the last client has left")
{
    auto settings = patient();
    settings.once = true;
    Running server{settings};
    auto first = std::make_unique<Client>(Client::ready(server));
    auto second = std::make_unique<Client>(Client::ready(server));
    first.reset();
    CHECK(second->can_read());
    second.reset();
    server.join();
}

TEST_CASE("nbd server: a socket takes the place of an abandoned one only")
{
    TempDir folder;
    const std::string path = folder / "socket";
    {
        const Listener first = need(Listener::on_unix(path));
        CHECK(first.url("a b") == "nbd+unix:///a%20b?socket=" + path);
        const auto second = Listener::on_unix(path);
        REQUIRE_FALSE(second);
        CHECK(second.error().message ==
              "Failed to listen on '" + path + "': Address already in use");
    }
    CHECK(::access(path.c_str(), F_OK) != 0);
    {
        const Descriptor dead{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::ranges::copy(path, address.sun_path);
        REQUIRE(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                0);
    }
    CHECK(Listener::on_unix(path));
    img::test::write_file(path, {});
    CHECK_FALSE(Listener::on_unix(path));
    CHECK(::access(path.c_str(), F_OK) == 0);
    CHECK_FALSE(Listener::on_unix(std::string(108, 'x')));
    CHECK_FALSE(Listener::on_unix(""));
}

TEST_CASE("nbd server: TCP sockets tell the port they took")
{
    const Listener listener = need(Listener::on_tcp("127.0.0.1", 0));
    const std::string url = listener.url("x");
    CHECK(url.starts_with("nbd://127.0.0.1:"));
    CHECK(url.ends_with("/x"));
    CHECK_FALSE(url.starts_with("nbd://127.0.0.1:0/"));
    const auto port =
        static_cast<base::u16>(std::stoi(url.substr(std::string{"nbd://127.0.0.1:"}.size())));
    const auto taken = Listener::on_tcp("127.0.0.1", port);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().message.ends_with("Address already in use"));
}
