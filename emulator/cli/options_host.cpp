// Options about consoles, displays and control sockets.
#include "emulator/cli/option_table.hpp"

namespace emu::cli {

namespace {

using base::Errc;
using hostio::ChannelSpec;

base::Error bad(std::string text)
{
    return base::fail(Errc::invalid_argument, std::move(text));
}

base::Error unsupported(std::string text)
{
    return base::fail(Errc::unsupported, std::move(text));
}

base::Result<ChannelUse> parse_use(const std::string& value)
{
    ChannelUse use;
    if (value.starts_with("chardev:")) {
        use.chardev_id = value.substr(8);
        return use;
    }
    auto spec = hostio::parse_channel(value);
    if (!spec) {
        return std::move(spec).error();
    }
    use.spec = std::move(spec).value();
    return use;
}

template <std::vector<ChannelUse> Options::*list, std::size_t most>
base::Status add_use(Options& options, const std::string& value)
{
    auto use = parse_use(value);
    if (!use) {
        return std::move(use).error();
    }
    if ((options.*list).size() >= most) {
        return unsupported("there are only " + std::to_string(most) + " of them");
    }
    (options.*list).push_back(std::move(use).value());
    return base::ok();
}

base::Status socket_chardev(ChannelSpec& spec, KeyValues& values)
{
    spec.kind = ChannelSpec::Kind::socket;
    if (const auto path = values.take("path")) {
        auto address = hostio::parse_socket_address("unix:" + *path);
        if (!address) {
            return std::move(address).error();
        }
        spec.address = std::move(address).value();
    } else {
        const auto port = values.take("port");
        if (!port) {
            return bad("socket needs path= or port=");
        }
        auto address =
            hostio::parse_socket_address("tcp:" + values.take_or("host", "") + ":" + *port);
        if (!address) {
            return std::move(address).error();
        }
        spec.address = std::move(address).value();
    }
    auto server = values.take_bool("server", false);
    auto wait = values.take_bool("wait", true);
    if (!server || !wait) {
        return bad("server and wait are on or off");
    }
    spec.server = server.value();
    spec.wait = wait.value() && !values.take("nowait");
    values.take("nodelay");
    return base::ok();
}

base::Status chardev(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "backend");
    if (!parsed) {
        return std::move(parsed).error();
    }
    KeyValues& values = parsed.value();
    ChannelSpec spec;
    const std::string backend = values.take_or("backend", "");
    spec.id = values.take_or("id", "");
    auto mux = values.take_bool("mux", false);
    auto signals = values.take_bool("signal", true);
    auto append = values.take_bool("append", false);
    auto log_append = values.take_bool("logappend", false);
    if (!mux || !signals || !append || !log_append || spec.id.empty()) {
        return bad("needs id=, and mux, signal, append, logappend are on or off");
    }
    spec.mux = mux.value();
    spec.signals = signals.value();
    spec.append = append.value();
    spec.log_append = log_append.value();
    spec.log_path = values.take_or("logfile", "");
    if (backend == "null") {
        spec.kind = ChannelSpec::Kind::null;
    } else if (backend == "stdio") {
        spec.kind = ChannelSpec::Kind::stdio;
    } else if (backend == "pty") {
        spec.kind = ChannelSpec::Kind::pty;
    } else if (backend == "file") {
        spec.kind = ChannelSpec::Kind::file;
        spec.path = values.take_or("path", "");
        if (spec.path.empty()) {
            return bad("file needs path=");
        }
    } else if (backend == "socket") {
        if (auto set = socket_chardev(spec, values); !set) {
            return set;
        }
    } else {
        return unsupported("no such character device '" + backend +
                           "' (known: null, stdio, file, socket, pty)");
    }
    if (!options.chardevs.emplace(spec.id, spec).second) {
        return bad("two character devices with id '" + spec.id + "'");
    }
    return values.finish();
}

base::Status mon(Options& options, const std::string& value)
{
    auto parsed = KeyValues::parse(value, "chardev");
    if (!parsed) {
        return std::move(parsed).error();
    }
    ChannelUse use;
    use.chardev_id = parsed.value().take_or("chardev", "");
    const std::string mode = parsed.value().take_or("mode", "readline");
    parsed.value().take("id");
    if (mode != "readline" && mode != "control") {
        return bad("mode is readline or control");
    }
    (mode == "control" ? options.qmp : options.monitors).push_back(use);
    return parsed.value().finish();
}

base::Status display(Options& options, const std::string& value)
{
    if (value == "help") {
        options.answer = "Available display backend types:\nnone\nsdl\ntext\ncurses\n";
        return base::ok();
    }
    auto parsed = KeyValues::parse(value, "type");
    if (!parsed) {
        return std::move(parsed).error();
    }
    const std::string type = parsed.value().take_or("type", "");
    if (type == "none") {
        options.display = DisplayKind::none;
    } else if (type == "sdl") {
        options.display = DisplayKind::sdl;
    } else if (type == "text" || type == "curses") {
        options.display = DisplayKind::text;
    } else {
        return unsupported("no such display '" + type + "' (known: none, sdl, text, curses)");
    }
    auto full = parsed.value().take_bool("full-screen", options.full_screen);
    if (!full) {
        return std::move(full).error();
    }
    options.full_screen = full.value();
    return parsed.value().finish();
}

base::Status curses(Options& options, const std::string&)
{
    options.display = DisplayKind::text;
    return base::ok();
}

template <bool Options::*field, bool value>
base::Status flag(Options& options, const std::string&)
{
    options.*field = value;
    return base::ok();
}

template <std::string Options::*field>
base::Status text(Options& options, const std::string& value)
{
    options.*field = value;
    return base::ok();
}

base::Status debug_items(Options& options, const std::string& value)
{
    if (value == "help") {
        options.answer = "Log items (comma separated):\n"
                         "guest_errors    log when the guest OS does something invalid\n";
        return base::ok();
    }
    std::size_t at = 0;
    while (at <= value.size()) {
        const std::size_t comma = std::min(value.find(',', at), value.size());
        const std::string item = value.substr(at, comma - at);
        if (item != "guest_errors") {
            return unsupported("no such log item '" + item + "' (known: guest_errors)");
        }
        at = comma + 1;
    }
    options.log_guest_errors = true;
    return base::ok();
}

base::Status keyboard_layout(Options&, const std::string& value)
{
    if (value != "en-us") {
        return unsupported("keyboard layout '" + value + "' (known: en-us)");
    }
    return base::ok();
}

base::Status debug_console(Options& options, const std::string& value)
{
    auto use = parse_use(value);
    if (!use) {
        return std::move(use).error();
    }
    DebugConsoleOption console;
    console.chardev = use.value().chardev_id;
    if (console.chardev.empty()) {
        console.chardev = "debugcon";
        use.value().spec.id = console.chardev;
        options.chardevs[console.chardev] = use.value().spec;
    }
    options.debug_consoles.push_back(console);
    return base::ok();
}

base::Status version(Options& options, const std::string&)
{
    options.answer = std::string{"Menagerie emulator version "} + kVersion + "\n";
    return base::ok();
}

base::Status topic_help(Options& options, const std::string& topic)
{
    auto text = help_text(topic);
    if (!text) {
        return std::move(text).error();
    }
    options.answer = std::move(text).value();
    return base::ok();
}

base::Status help(Options& options, const std::string&)
{
    options.answer = help_text();
    return base::ok();
}

} // namespace

std::span<const OptionRow> host_options()
{
    static constexpr OptionRow kRows[] = {
        {"-serial", true, add_use<&Options::serial, 2>, "DEV",
         "stdio, file:, unix:, tcp:, pty, null, chardev:ID, mon:stdio"},
        {"-parallel", true, add_use<&Options::parallel, 1>, "DEV", "the printer port's output"},
        {"-monitor", true, add_use<&Options::monitors, 8>, "DEV", "human monitor"},
        {"-qmp", true, add_use<&Options::qmp, 8>, "DEV",
         "control protocol, e.g. unix:PATH,server=on,wait=off"},
        {"-mon", true, mon, "chardev=ID[,mode=]", "monitor (readline) or QMP (control)"},
        {"-chardev", true, chardev, "KIND,id=ID[,…]", "socket, file, pty, stdio, null; logfile="},
        {"-debugcon", true, debug_console, "DEV", "what the guest writes to port 0xe9"},
        {"-display", true, display, "KIND", "sdl (default), text, none"},
        {"-curses", false, curses, "", ""},
        {"-full-screen", false, flag<&Options::full_screen, true>, "", "start in full screen"},
        {"-nographic", false, flag<&Options::no_graphic, true>, "",
         "no window; serial port and monitor on this terminal"},
        {"-k", true, keyboard_layout, "en-us", "keyboard layout"},
        {"-S", false, flag<&Options::paused, true>, "", "do not start before `cont`"},
        {"-no-reboot", false, flag<&Options::reboot, false>, "", "exit instead of rebooting"},
        {"-no-shutdown", false, flag<&Options::quit_on_shutdown, false>, "",
         "stop instead of exiting when the guest switches itself off"},
        {"-pidfile", true, text<&Options::pid_file>, "FILE", "write the process id there"},
        {"-d", true, debug_items, "ITEMS", "log: guest_errors"},
        {"-D", true, text<&Options::log_file>, "FILE", "log there instead of to standard error"},
        {"-version", false, version, "", "print the version"},
        {"-help", false, help, "", "all options"},
        {"-h", false, help, "", ""},
        {"--help", true, topic_help, "[TOPIC]", "the topics; those of one", true},
    };
    return kRows;
}

} // namespace emu::cli
