#include "emulator/hostio/channel.hpp"
#include "emulator/hostio/code_page.hpp"
#include "emulator/hostio/mux.hpp"
#include "emulator/hostio/picture.hpp"
#include "emulator/hostio/text_display.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace emu;
using namespace emu::hostio;
using namespace std::chrono_literals;

namespace {

std::string temporary(const std::string& name)
{
    return (std::filesystem::temp_directory_path() /
            ("menagerie-" + std::to_string(::getpid()) + name))
        .string();
}

std::string read_file(const std::string& path)
{
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::string read_socket(int fd, std::size_t size)
{
    std::string text;
    while (text.size() < size) {
        pollfd waiting{fd, POLLIN, 0};
        char buffer[256];
        if (::poll(&waiting, 1, 2000) != 1) {
            break;
        }
        const auto got = ::read(fd, buffer, sizeof buffer);
        if (got <= 0) {
            break;
        }
        text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
}

} // namespace

TEST_CASE("channel: a file gets what is written, and its log a copy")
{
    const std::string path = temporary(".out");
    const std::string log = temporary(".log");
    HostLoop loop;
    ChannelSpec spec = parse_channel("file:" + path).value();
    spec.log_path = log;
    auto channel = open_channel(loop, spec).value();
    loop.start();

    channel->write("hello");
    channel->drain(2s);
    channel->drain_log(2s);
    loop.stop();

    CHECK(read_file(path) == "hello");
    CHECK(read_file(log) == "hello");
    std::filesystem::remove(path);
    std::filesystem::remove(log);
}

TEST_CASE("channel: a socket server talks to one client after another")
{
    const std::string path = temporary(".sock");
    HostLoop loop;
    auto channel =
        open_channel(loop, parse_channel("unix:" + path + ",server=on,wait=off").value()).value();
    std::mutex mutex;
    std::string got;
    channel->set_receiver([&](std::span<const u8> bytes) {
        const std::lock_guard lock{mutex};
        got.append(bytes.begin(), bytes.end());
        channel->write("pong");
    });
    loop.start();
    channel->write("lost: nobody is connected");

    for (int round = 0; round < 2; ++round) {
        const int client = connect_socket(parse_socket_address("unix:" + path).value()).value();
        CHECK(::send(client, "ping", 4, 0) == 4);
        CHECK(read_socket(client, 4) == "pong");
        ::close(client);
    }

    loop.stop();
    CHECK(got == "pingping");
    channel.reset();
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("channel: the text forms")
{
    CHECK(parse_channel("null").value().kind == ChannelSpec::Kind::null);
    CHECK(parse_channel("mon:stdio").value().mux);
    const auto tcp = parse_channel("tcp:127.0.0.1:4444,server,nowait").value();
    CHECK(tcp.server);
    CHECK_FALSE(tcp.wait);
    CHECK(tcp.address.host == "127.0.0.1");
    CHECK(tcp.address.port == "4444");
    CHECK(parse_channel("vc").error().message.starts_with("no such character device: 'vc'"));
    CHECK(parse_channel("unix:/x,frob").error().message == "unknown socket option 'frob'");
}

TEST_CASE("mux: Ctrl-A c moves the keyboard, Ctrl-A x quits")
{
    class Loopback : public Channel {
    public:
        Loopback() : Channel{"loop"} {}
        std::string description() const override { return "loop"; }
        void type(std::string_view text)
        {
            received({reinterpret_cast<const u8*>(text.data()), text.size()});
        }

    protected:
        void send(std::span<const u8>) override {}
    };
    auto owned = std::make_unique<Loopback>();
    Loopback& keys = *owned;
    bool quit = false;
    Mux mux{std::move(owned), [&] { quit = true; }};
    std::string serial;
    std::string monitor;
    mux.add_front("serial0").set_receiver(
        [&](std::span<const u8> bytes) { serial.append(bytes.begin(), bytes.end()); });
    mux.add_front("monitor0").set_receiver([&](std::span<const u8> bytes) {
        monitor.append(bytes.begin(), bytes.end());
    });

    keys.type("ab\x01\x01\x01");
    keys.type("cquit\x01");
    keys.type("x");

    CHECK(serial == "ab\x01");
    CHECK(monitor == "quit");
    CHECK(quit);
}

TEST_CASE("picture: PNG out and in again, PPM's bytes")
{
    const Frame frame{2, 1, {0x00ff8001, 0x00000000}};

    const Picture again = decode_png(encode_png(frame)).value();

    CHECK(again.width == 2);
    CHECK(again.pixels == std::vector<u32>{0xffff8001, 0xff000000});
    const std::vector<u8> ppm = encode_ppm(frame);
    CHECK(std::string(ppm.begin(), ppm.begin() + 11) == "P6\n2 1\n255\n");
    CHECK(std::vector<u8>(ppm.begin() + 11, ppm.end()) == std::vector<u8>{0xff, 0x80, 1, 0, 0, 0});
}

TEST_CASE("picture: damaged and foreign files are refused")
{
    std::vector<u8> png = encode_png(Frame{64, 64, std::vector<u32>(64 * 64, 0x123456)});

    CHECK_FALSE(decode_png(std::span{png}.first(20)));
    CHECK_FALSE(decode_png(std::span{png}.first(png.size() / 2)));
    const std::array<u8, 3> garbage{1, 2, 3};
    CHECK(decode_png(garbage).error().code == base::Errc::wrong_format);
}

TEST_CASE("picture: found anywhere, within a tolerance, alpha 0 fits all")
{
    Frame frame{4, 3, std::vector<u32>(12, 0)};
    frame.pixels[1 * 4 + 2] = 0x00102030;
    const Picture exact{1, 1, {0xff102030}};
    const Picture near{2, 1, {0xff122230, 0x00ffffff}};

    CHECK(find_picture(frame, exact, 0) == Place{2, 1});
    CHECK_FALSE(find_picture(frame, near, 1));
    CHECK(find_picture(frame, near, 2) == Place{2, 1});
    CHECK_FALSE(matches_at(frame, exact, {4, 0}, 0));
}

TEST_CASE("picture: found by its rarest pixel, the first place in reading order")
{
    constexpr u32 kSea = 0x00202020;
    constexpr u32 kIsle = 0x00f0e0d0;
    Frame frame{8, 6, std::vector<u32>(48, kSea)};
    frame.pixels[4 * 8 + 1] = kIsle;
    frame.pixels[2 * 8 + 6] = kIsle;
    const u32 sea = 0xff000000 | kSea;
    const Picture isle{3, 2, {0x00ffffff, sea, sea, sea, 0xff000000 | kIsle, sea}};
    const Picture corner{2, 1, {sea, 0xff000000 | kIsle}};

    CHECK(find_picture(frame, isle, 0) == Place{5, 1});
    CHECK(find_picture(frame, corner, 0) == Place{5, 2});
    CHECK(find_picture(frame, Picture{8, 6, std::vector<u32>(48, 0x00ffffff)}, 0) == Place{0, 0});
    CHECK_FALSE(find_picture(frame, Picture{1, 1, {0xff010101}}, 0));
}

TEST_CASE("screen text: rows lose their blanks at the end")
{
    TextScreen screen;
    screen.columns = 4;
    screen.rows = 2;
    screen.characters = {'A', ':', '\\', '>', 0xcd, 0, ' ', 0xff};

    CHECK(screen_text(screen) == "A:\\>\n═");
}

namespace {

/// Writes down what is pressed: "+30 -30".
class KeyNotes : public GuestInput {
public:
    void key(KeyCode key, bool down) override
    {
        notes += (down ? "+" : "-") + std::to_string(key) + " ";
    }
    void mouse(int, int, int, u8) override {}
    std::string notes;
};

} // namespace

TEST_CASE("keys: chords and characters of a US keyboard")
{
    CHECK(parse_chord("ctrl-alt-delete").value() == std::vector<KeyCode>{0x1d, 0x38, 0xd3});
    CHECK(parse_chord("0x3b").value() == std::vector<KeyCode>{59});
    CHECK(parse_chord("ctrl-frob").error().message == "unknown key: 'frob'");
    CHECK_FALSE(parse_chord(""));
    CHECK(us_key('A')->code == 30);
    CHECK(us_key('A')->shift);
    CHECK(us_key('\n')->code == 28);
    CHECK_FALSE(us_key('\x80'));
}

TEST_CASE("text display: terminal bytes become keys")
{
    KeyNotes input;
    TerminalKeys keys{input};

    keys.feed("aB\r\x03\x1b[A\x1b");

    CHECK(input.notes == "+30 -30 +42 +48 -48 -42 +28 -28 +29 +46 -46 -29 +200 -200 +1 -1 ");
}

TEST_CASE("text display: only what changed is drawn")
{
    TextScreen before;
    before.columns = 2;
    before.rows = 1;
    before.characters = {'a', 'b'};
    before.attributes = {0x07, 0x07};
    TextScreen now = before;
    now.characters[1] = 0xdb;
    now.attributes[1] = 0x1e; // yellow on blue
    now.cursor_visible = true;

    CHECK(draw_text(&before, now) == "\x1b[?25l\x1b[1;2H\x1b[0;93;44m█\x1b[0m\x1b[1;1H\x1b[?25h");
}
