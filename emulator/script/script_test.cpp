#include "emulator/script/engine.hpp"
#include "emulator/script/input_program.hpp"
#include "emulator/script/report.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unistd.h>

using namespace emu;
using namespace emu::script;

namespace {

class FakeScreen : public DisplaySource {
public:
    void render(Frame& frame) override
    {
        frame.width = 4;
        frame.height = 1;
        frame.pixels.assign(4, colour);
    }
    std::optional<TextScreen> text() override
    {
        if (graphics) {
            return std::nullopt;
        }
        TextScreen screen;
        screen.columns = static_cast<u32>(line.size());
        screen.rows = 1;
        screen.characters.assign(line.begin(), line.end());
        screen.attributes.assign(line.size(), 7);
        return screen;
    }
    std::string mode_name() override { return "fake"; }

    std::string line = "booting";
    u32 colour = 0;
    bool graphics = false;
};

class Notes : public hostio::GuestInput {
public:
    void key(hostio::KeyCode, bool down) override { down ? ++presses : ++releases; }
    void mouse(int dx, int dy, int, u8 set) override
    {
        x += dx;
        y += dy;
        ++packets;
        buttons = set;
    }
    int presses = 0;
    int releases = 0;
    int x = 0;
    int y = 0;
    int packets = 0;
    u8 buttons = 0;
};

struct Rig {
    explicit Rig(const std::string& toml) : engine{parse_script(toml, "t", ".").value(), target()}
    {}

    Target target()
    {
        Target result;
        result.display = &screen;
        result.input = &input;
        result.keyboard_ready = [this] { return ready; };
        result.mouse_ready = [this] { return ready; };
        result.disk_activity = [this] { return activity; };
        result.serial = {&serial};
        result.now_ns = [this] { return now_ns; };
        return result;
    }
    /// Polls until the run is over or so many 10 ms have passed; true when over.
    bool poll(int times)
    {
        for (int i = 0; i < times; ++i) {
            now_ns += kPollPeriodNs;
            if (engine.poll()) {
                return true;
            }
        }
        return false;
    }
    void print(std::string_view text)
    {
        std::for_each(text.begin(), text.end(), [this](char c) { serial.put(static_cast<u8>(c)); });
    }

    FakeScreen screen;
    Notes input;
    SerialRecord serial{nullptr};
    bool ready = true;
    u64 activity = 0;
    u64 now_ns = 0;
    Engine engine;
};

std::string errors_of(const std::string& toml)
{
    return parse_script(toml, "s.toml", ".").error().message;
}

} // namespace

TEST_CASE("script: every mistake is reported with its line")
{
    CHECK(errors_of(R"(schema = 1
colour = "red"
[[steps]]
wait_screen = "A:"
[[steps]]
type = "ü"
[[steps]]
key = "ctrl-frob"
[[steps]]
mouse = { click = "nose" }
[[steps]]
screenshot = "../x"
[[steps]]
type = "a"
count = 2
[[steps]]
wait_idle = 0
within_guest_s = "soon"
)") == R"(s.toml:2: unknown key 'colour'
s.toml:3: a wait needs 'within_guest_s'
s.toml:6: a US keyboard has no key for the byte 195 in the text
s.toml:8: unknown key: 'frob'
s.toml:10: no such mouse button: 'nose' (left, right, middle)
s.toml:12: a screenshot's name has letters, digits, '_' and '-' only
s.toml:15: 'count' does not belong to type
s.toml:18: 'within_guest_s' must be a number of seconds above 0
s.toml:17: 'wait_idle' must be a number of seconds above 0)");
}

TEST_CASE("script: what is no script at all")
{
    CHECK(errors_of("schema = 1\n").find("'steps' must be an array") != std::string::npos);
    CHECK(errors_of("schema = 2\nsteps = [{type='a'}]\n").find("'schema' must be") !=
          std::string::npos);
    CHECK(errors_of("[[steps\n").starts_with("s.toml:1: "));
    CHECK(errors_of("schema=1\nsteps=[{type='a', key='b'}]\n").find("one action") !=
          std::string::npos);
}

TEST_CASE("engine: waits for text on the screen")
{
    Rig rig{"schema=1\n[[steps]]\nwait_screen='A:\\>'\nwithin_guest_s=1\n"};

    CHECK_FALSE(rig.poll(50));
    rig.screen.line = "A:\\>";
    CHECK(rig.poll(1));

    CHECK(rig.engine.passed());
    CHECK(rig.engine.records()[0].ended_ns == 510'000'000);
}

TEST_CASE("engine: a wait fails at its limit of guest time")
{
    Rig rig{"schema=1\n[[steps]]\nwait_screen='A:\\>'\nwithin_guest_s=1\n"};

    CHECK(rig.poll(200));

    CHECK_FALSE(rig.engine.passed());
    CHECK(rig.now_ns == 1'010'000'000); // the step began at the first poll
    CHECK(rig.engine.reason().starts_with("step 1 (wait_screen = \"A:\\\\>\"): not within 1"));
}

TEST_CASE("engine: serial text is counted from where the last wait ended")
{
    Rig rig{R"(schema = 1
[[steps]]
wait_serial = "login:"
within_guest_s = 5
[[steps]]
wait_serial = "ok\nok"
count = 2
within_guest_s = 5
)"};

    rig.print("ok\r\nok login:");
    CHECK_FALSE(rig.poll(1));
    rig.print("ok\r\nok");
    CHECK_FALSE(rig.poll(1));
    rig.print("ok\nok");
    CHECK(rig.poll(1));
    CHECK(rig.engine.passed());
}

TEST_CASE("engine: keys wait until the guest has taken those before")
{
    Rig rig{"schema=1\n[[steps]]\ntype='aB'\n"};
    rig.ready = false;

    CHECK_FALSE(rig.poll(20));
    CHECK(rig.input.presses == 0);
    rig.ready = true;
    CHECK_FALSE(rig.poll(1));
    CHECK(rig.input.presses == 1);
    CHECK(rig.poll(20));

    CHECK(rig.engine.passed());
    CHECK(rig.input.presses == 3); // shift too
    CHECK(rig.input.releases == 3);
}

TEST_CASE("engine: a guest that takes no keys for ten seconds fails")
{
    Rig rig{"schema=1\n[[steps]]\nkey='ctrl-alt-delete'\n"};
    rig.ready = false;

    CHECK(rig.poll(1100));

    CHECK(rig.engine.reason().find("does not read its keyboard") != std::string::npos);
}

TEST_CASE("engine: mouse moves in packets, clicks and keeps buttons pressed")
{
    Rig rig{R"(schema = 1
[[steps]]
mouse = { move = [300, -10], press = "left" }
[[steps]]
mouse = { click = "right" }
)"};

    CHECK(rig.poll(100));

    CHECK(rig.input.x == 300);
    CHECK(rig.input.y == -10);
    CHECK(rig.input.packets == 6); // three moves, a press, a click
    CHECK(rig.input.buttons == static_cast<u8>(hostio::MouseButton::left));
}

TEST_CASE("engine: idle means no disk, no serial byte and a still screen")
{
    Rig rig{"schema=1\n[[steps]]\nwait_idle=0.5\nwithin_guest_s=60\n"};

    CHECK_FALSE(rig.poll(40));
    ++rig.activity;
    CHECK_FALSE(rig.poll(40));
    rig.print("x");
    CHECK_FALSE(rig.poll(40));
    rig.screen.line = "changed";
    CHECK_FALSE(rig.poll(40));
    rig.screen.graphics = true;
    CHECK_FALSE(rig.poll(40));
    rig.screen.colour = 1;
    CHECK_FALSE(rig.poll(50));
    CHECK(rig.poll(2));
}

TEST_CASE("engine: forbidden text fails whatever step is under way")
{
    Rig rig{R"(schema = 1
[[steps]]
forbid_screen = "panic"
[[steps]]
wait_screen = "login"
within_guest_s = 10
)"};

    CHECK_FALSE(rig.poll(5));
    rig.screen.line = "kernel panic, no login";
    CHECK(rig.poll(1));

    CHECK(rig.engine.reason() == "forbidden text is on the screen: panic");
    CHECK(rig.engine.records()[1].result == StepResult::failed);
}

TEST_CASE("report: JSON, HTML, pictures and serial log")
{
    Rig rig{R"(schema = 1
[[steps]]
screenshot = "first"
[[steps]]
assert_screen = "not there"
[[steps]]
mouse = { move = [1, 2] }
)"};
    rig.print("hello\r\n");
    CHECK(rig.poll(1));
    const std::string folder = (std::filesystem::temp_directory_path() /
                                ("menagerie-report-" + std::to_string(::getpid())))
                                   .string();

    REQUIRE(prepare_report(folder));
    REQUIRE(write_report(folder, rig.engine, {"test", 10'000'000, 42, 0.5}, {&rig.serial}));

    std::ifstream file{folder + "/report.json"};
    const auto json = nlohmann::json::parse(file);
    CHECK(json["result"] == "failed");
    CHECK(json["instructions"] == 42);
    CHECK(json["steps"][0]["picture"] == "first.png");
    CHECK(json["steps"][1]["result"] == "failed");
    CHECK(json["steps"][2]["result"] == "not run");
    CHECK(json["steps"][2]["value"]["move"][1] == 2);
    for (const char* name : {"first.png", "first.txt", "end.png", "end.txt", "report.html"}) {
        CHECK(std::filesystem::exists(folder + "/" + name));
    }
    CHECK(std::filesystem::file_size(folder + "/serial0.log") == 7);
    std::filesystem::remove_all(folder);
}
