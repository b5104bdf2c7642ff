#include "emulator/debug/disassembler.hpp"
#include "emulator/debug/monitor.hpp"
#include "emulator/debug/qmp.hpp"
#include "emulator/machine/fake_machine.hpp"
#include "emulator/machine/port_space.hpp"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unistd.h>

using namespace emu;
using namespace emu::debug;
using namespace emu::testing;
using Json = nlohmann::json;

namespace {

class Screen : public DisplaySource {
public:
    void render(Frame& frame) override { frame = Frame{2, 1, {0xff0000, 0x0000ff}}; }
    std::optional<TextScreen> text() override { return std::nullopt; }
    std::string mode_name() override { return "2x1x32"; }
};

class Notes : public hostio::GuestInput {
public:
    void key(hostio::KeyCode key, bool down) override
    {
        notes += (down ? "+" : "-") + std::to_string(key) + " ";
    }
    void mouse(int dx, int dy, int wheel, u8 buttons) override
    {
        notes += "m" + std::to_string(dx) + "," + std::to_string(dy) + "," + std::to_string(wheel) +
                 "," + std::to_string(buttons) + " ";
    }
    std::string notes;
};

/// With two registers, and code that is 16 or 32 bits wide.
class NamedCpu : public FakeCpu {
public:
    using FakeCpu::FakeCpu;
    u64 program_counter() override { return 0x123; }
    std::optional<u64> virtual_to_physical(u64 address) override
    {
        return address < 0x20000 ? std::optional{address} : std::nullopt;
    }
    std::optional<u64> register_value(std::string_view name) override
    {
        return name == "eax" ? std::optional<u64>{0x1000} : std::nullopt;
    }
    unsigned code_bits() override { return bits; }
    unsigned bits = 32;
};

struct Rig {
    Rig()
    {
        memory.map_ram(0, 0x10000, ram, 0, AddressSpace::Access::read_write);
        target.name = "test";
        target.machine = &machine;
        target.memory = &memory;
        target.ports = &ports;
        target.display = &screen;
        target.input = &input;
        disk.id = "ide0-hd0";
        disk.file = "c.img";
        disk.format = "raw";
        disk.driver = "ide-hd";
        cdrom.id = "ide1-cd0";
        cdrom.removable = true;
        cdrom.driver = "ide-cd";
        cdrom.eject = [this](bool force) -> base::Status {
            if (!force) {
                return base::fail(base::Errc::invalid_argument, "Device 'ide1-cd0' is locked");
            }
            cdrom.file.clear();
            return base::ok();
        };
        cdrom.change = [this](const std::string& file, const std::string&, bool) {
            cdrom.file = file;
            return base::ok();
        };
        target.blocks = {&disk, &cdrom};
        session.execute(R"({"execute": "qmp_capabilities"})");
        sent.clear();
    }
    /// Executes one command and returns the answer.
    Json qmp(const std::string& text)
    {
        sent.clear();
        session.execute(text);
        return sent.empty() ? Json{} : Json::parse(sent.back());
    }
    std::string error(const std::string& text)
    {
        const Json answer = qmp(text);
        return answer["error"]["class"].get<std::string>() + ": " +
               answer["error"]["desc"].get<std::string>();
    }

    Clock clock{1'000'000};
    NamedCpu cpu{clock};
    AddressSpace memory;
    PortSpace ports;
    RamBlock ram{"pc.ram", 0x10000};
    Machine machine{{clock, cpu, {}, {&ram}, {}, {}, {}, {}}, {}};
    Screen screen;
    Notes input;
    BlockSlot disk;
    BlockSlot cdrom;
    Target target;
    Monitor monitor{target};
    std::vector<std::string> sent;
    QmpSession session{{target, monitor}, [this](std::string text) { sent.push_back(text); }};
};

std::string temporary(const std::string& name)
{
    return (std::filesystem::temp_directory_path() /
            ("menagerie-" + std::to_string(::getpid()) + name))
        .string();
}

} // namespace

TEST_CASE("monitor: memory dumps in QEMU's form")
{
    Rig rig;
    rig.memory.write_int(0x1000, 4, 0x12345678);
    rig.memory.write_int(0x1004, 4, 0xfffffffe);

    CHECK(rig.monitor.execute("xp /2xw 0x1000") == "0000000000001000: 0x12345678 0xfffffffe\n");
    CHECK(rig.monitor.execute("xp/2xb 0x1000") == "0000000000001000: 0x78 0x56\n");
    CHECK(rig.monitor.execute("x/1dw 0x1000+4") == "00001004: -2\n");
    CHECK(rig.monitor.execute("x/1dw 0x1000 + 2*2") == "00001004: -2\n");
    CHECK(rig.monitor.execute("xp/1x zero") == "invalid char 'z' in expression\n");
    CHECK(rig.monitor.execute("xp/1x") == "unexpected end of expression\n");
    CHECK(rig.monitor.execute("xp/1q 0") == "invalid char in format: 'q'\n");
}

TEST_CASE("monitor: code in 16 and 32 bits, with what cannot be read or is no code")
{
    if (!disassemble({}, 0, CodeWidth::bits32)) {
        WARN("skipped: the host has no libcapstone");
        return;
    }
    Rig rig;
    constexpr std::array<u8, 9> kCode{0xea, 0x5b, 0xe0, 0x00, 0xf0, 0x66, 0x90, 0x0f, 0x0a};
    rig.memory.write(0x1000, kCode);

    rig.cpu.bits = 16;
    CHECK(rig.monitor.execute("xp/1i 0x1000") ==
          "0x00001000:  ea 5b e0 00 f0           ljmpw    $0xf000:$0xe05b\n");
    rig.cpu.bits = 32;
    CHECK(rig.monitor.execute("x/2i 0x1005") ==
          "0x00001005:  66 90                    nop      \n"
          "0x00001007:  0f                       .byte    0x0f\n");
    CHECK(rig.monitor.execute("x/1i 0x20000") == "0x00020000: unable to read memory\n");
}

TEST_CASE("monitor: print calculates as QEMU's does")
{
    Rig rig;

    CHECK(rig.monitor.execute("p/x $eax+4") == "0x1004\n");
    CHECK(rig.monitor.execute("print $pc") == "0x123\n");
    CHECK(rig.monitor.execute("p 0") == "0\n");
    CHECK(rig.monitor.execute("p/d -7") == "-7\n");
    CHECK(rig.monitor.execute("p/u -1") == "18446744073709551615\n");
    CHECK(rig.monitor.execute("p/o 8") == "010\n");
    CHECK(rig.monitor.execute("p/c 65") == "'A'\n");
    CHECK(rig.monitor.execute("p $ebx") == "unknown register\n");
    CHECK(rig.monitor.execute("p") == "unexpected end of expression\n");
}

TEST_CASE("monitor: nmi and inject-nmi press the machine's button, as recorded input")
{
    Rig rig;

    CHECK(rig.monitor.execute("nmi") == "Error: the machine takes no input now\n"); // has none
    struct Switches : InputSink {
        std::string text;
        void deliver(std::span<const u8> payload) override
        {
            text.append(payload.begin(), payload.end());
        }
    } switches;
    rig.machine.door().add_sink("system", switches);
    CHECK(rig.monitor.execute("nmi").empty());
    CHECK(rig.qmp(R"({"execute": "inject-nmi"})") == Json{{"return", Json::object()}});
    REQUIRE(rig.machine.door().deliver_due(rig.clock, [] {}));
    CHECK(switches.text == "nminmi");
}

TEST_CASE("monitor: what the board tells is shown as it is")
{
    Rig rig;

    CHECK(rig.monitor.execute("info pci").empty()); // no board
    rig.target.board_report = [](BoardReport report) {
        return report == BoardReport::pic ? std::string{"pic0\n"} : std::string{"other\n"};
    };
    CHECK(rig.monitor.execute("info pic") == "pic0\n");
    CHECK(rig.monitor.execute("info qtree") == "other\n");
    CHECK(rig.monitor.execute("info cpus") ==
          "* CPU #0: thread_id=" + std::to_string(::gettid()) + "\n");
}

TEST_CASE("monitor: input, status and what it does not know")
{
    Rig rig;

    CHECK(rig.monitor.execute("sendkey ctrl-c").empty());
    CHECK(rig.monitor.execute("mouse_move 5 -6").empty());
    CHECK(rig.monitor.execute("mouse_button 4").empty());
    CHECK(rig.input.notes == "+29 +46 m5,-6,0,0 m0,0,0,2 ");
    CHECK(rig.monitor.execute("sendkey frob") == "unknown key: 'frob'\n");
    CHECK(rig.monitor.execute("info status") == "VM status: running\n");
    CHECK(rig.monitor.execute("savevm x") == "unknown command: 'savevm'\n");
    CHECK(rig.monitor.execute("info usb") == "unknown command: 'info usb'\n");
    CHECK(rig.monitor.execute("pmemsave 1").starts_with("pmemsave: wrong number of arguments"));
    CHECK(rig.monitor.execute("\"").starts_with("Error: a quotation mark"));
    CHECK(rig.monitor.execute("info mtree").find("pc.ram") != std::string::npos);
}

TEST_CASE("monitor: files for memory and the screen")
{
    Rig rig;
    rig.memory.write_int(0, 4, 0x04030201);
    const std::string file = temporary("-mem \"x\"");

    CHECK(rig.monitor.execute("pmemsave 0 4 \"" + temporary("-mem \\\"x\\\"") + "\"").empty());
    CHECK(std::filesystem::file_size(file) == 4);
    CHECK(rig.monitor.execute("screendump \"" + temporary("-mem \\\"x\\\"") + "\"").empty());
    CHECK(std::filesystem::file_size(file) == 11 + 6);
    CHECK(rig.monitor.execute("screendump /nonexistent/x").starts_with("Error: cannot write"));
    std::filesystem::remove(file);
}

TEST_CASE("monitor: drives")
{
    Rig rig;

    CHECK(rig.monitor.execute("eject ide1-cd0") == "Error: Device 'ide1-cd0' is locked\n");
    CHECK(rig.monitor.execute("change ide1-cd0 new.iso").empty());
    CHECK(rig.cdrom.file == "new.iso");
    CHECK(rig.monitor.execute("eject -f ide1-cd0").empty());
    CHECK(rig.monitor.execute("eject ide0-hd0") == "Error: Device 'ide0-hd0' is not removable\n");
    CHECK(rig.monitor.execute("eject fd9") == "Error: Device 'fd9' not found\n");
    CHECK(rig.monitor.execute("info block ide1-cd0").find("[not inserted]") != std::string::npos);
}

TEST_CASE("qmp: greeting, then nothing but qmp_capabilities")
{
    Rig rig;
    std::vector<std::string> sent;
    QmpSession fresh{{rig.target, rig.monitor}, [&](std::string text) { sent.push_back(text); }};

    fresh.greet();
    fresh.execute(R"({"execute": "query-status"})");
    fresh.execute(R"({"execute": "qmp_capabilities", "id": 7})");

    CHECK(Json::parse(sent[0])["QMP"]["capabilities"].is_array());
    CHECK(Json::parse(sent[1])["error"]["class"] == "CommandNotFound");
    CHECK(Json::parse(sent[2]) == Json::parse(R"({"return": {}, "id": 7})"));
}

TEST_CASE("qmp: answers have QEMU's shapes")
{
    Rig rig;

    CHECK(
        rig.qmp(R"({"execute": "query-status", "id": "a"})") ==
        Json::parse(
            R"({"return": {"running": true, "singlestep": false, "status": "running"}, "id": "a"})"));
    CHECK(rig.qmp(R"({"execute": "query-name"})")["return"]["name"] == "test");
    CHECK(rig.qmp(R"({"execute": "query-kvm"})")["return"]["enabled"] == false);
    CHECK(rig.qmp(R"({"execute": "query-replay"})")["return"]["icount"] == 0);
    CHECK(rig.qmp(R"({"execute": "human-monitor-command",
                      "arguments": {"command-line": "info status"}})")["return"] ==
          "VM status: running\r\n");
    const Json blocks = rig.qmp(R"({"execute": "query-block"})")["return"];
    CHECK(blocks[0]["inserted"]["drv"] == "raw");
    CHECK(blocks[1]["tray_open"] == false); // an empty drive's is closed
    CHECK(rig.qmp(R"({"execute": "query-version"})")["return"]["qemu"]["major"] == 7);
}

TEST_CASE("qmp: errors have QEMU's classes and words")
{
    Rig rig;

    CHECK(rig.error(R"({"execute": "frob"})") ==
          "CommandNotFound: The command frob has not been found");
    CHECK(rig.error(R"({"execute": "screendump"})") ==
          "GenericError: Parameter 'filename' is missing");
    CHECK(rig.error(R"({"execute": "stop", "arguments": {"x": 1}})") ==
          "GenericError: Parameter 'x' is unexpected");
    CHECK(rig.error(R"({"execute": "screendump", "arguments": {"filename": 1}})") ==
          "GenericError: Invalid parameter type for 'filename', expected: string");
    CHECK(rig.error(R"({"execute": 1})") ==
          "GenericError: QMP input member 'execute' must be a string");
    CHECK(rig.error("[1]") == "GenericError: QMP input must be a JSON object");
    CHECK(rig.error("{") == "GenericError: Invalid JSON syntax");
    CHECK(rig.error(R"({"execute": "eject", "arguments": {"device": "x"}})") ==
          "DeviceNotFound: Device 'x' not found");
    CHECK(rig.error(R"({"execute": "device_add", "arguments": {"driver": "e1000"}})")
              .find("'e1000' is not a device model") != std::string::npos);
    CHECK(
        rig.error(
            R"({"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "frob"}]}})") ==
        "GenericError: Invalid parameter 'frob'");
}

TEST_CASE("qmp: keys and mouse")
{
    Rig rig;

    rig.qmp(R"({"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "a"}]}})");
    rig.qmp(R"({"execute": "input-send-event", "arguments": {"events": [
        {"type": "rel", "data": {"axis": "x", "value": 3}},
        {"type": "rel", "data": {"axis": "y", "value": -4}},
        {"type": "btn", "data": {"button": "left", "down": true}}]}})");

    CHECK(rig.input.notes == "+30 m3,-4,0,1 ");
    CHECK(rig.error(R"({"execute": "input-send-event", "arguments": {"events": [
        {"type": "key", "data": {"down": true, "key": {"type": "qcode", "data": "b"}}},
        {"type": "abs", "data": {"axis": "x", "value": 3}}]}})")
              .find("no absolute pointing device") != std::string::npos);
    CHECK(rig.input.notes == "+30 m3,-4,0,1 "); // all or nothing
}

TEST_CASE("qmp: events carry a time and, for resets, who caused them")
{
    Rig rig;

    rig.session.event(MachineEvent::reset, true, "guest-reset");

    const Json event = Json::parse(rig.sent.back());
    CHECK(event["event"] == "RESET");
    CHECK(event["data"] == Json::parse(R"({"guest": true, "reason": "guest-reset"})"));
    CHECK(event["timestamp"]["seconds"].get<u64>() > 1'600'000'000);
}

TEST_CASE("json splitter: pieces, strings with braces, several values, limits")
{
    JsonSplitter splitter;
    std::vector<std::string> values;
    const auto keep = [&](std::string_view text) { values.emplace_back(text); };

    CHECK(splitter.feed(R"( {"a": "}\"{"} {"b")", keep));
    CHECK(splitter.feed(R"(: [1, 2]}
garbage
)",
                        keep));
    CHECK(values == std::vector<std::string>{R"({"a": "}\"{"})", R"({"b": [1, 2]})", "garbage\n"});
    CHECK_FALSE(splitter.feed(std::string(100, '['), keep));
    CHECK_FALSE(splitter.feed(std::string(JsonSplitter::kMaxBytes + 1, 'x'), keep));
    CHECK(splitter.feed("{}", keep));
}
