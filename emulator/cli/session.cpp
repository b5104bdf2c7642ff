#include "emulator/cli/session.hpp"

#include "base/output.hpp"
#include "emulator/boards/pc_report.hpp"
#include "emulator/cli/build_machine.hpp"
#include "emulator/cli/consoles.hpp"
#include "emulator/cli/host_guard.hpp"
#include "emulator/debug/monitor_session.hpp"
#include "emulator/debug/qmp_server.hpp"
#include "emulator/hostio/sdl_window.hpp"
#include "emulator/hostio/terminal.hpp"
#include "emulator/hostio/text_display.hpp"
#include "emulator/machine/state_dump.hpp"
#include "emulator/script/engine.hpp"
#include "emulator/script/report.hpp"

#include <cstdio>
#include <ctime>
#include <fmt/format.h>

namespace emu::cli {

namespace {

using namespace std::chrono_literals;
using Reason = RunOutcome::Reason;

constexpr auto kFramePeriod = 33ms; // of wall time
constexpr auto kDrainLimit = 2000ms;

int complain(const std::string& message, int status)
{
    std::fprintf(stderr, "emulator: %s\n", message.c_str());
    return status;
}

/// Guest mistakes, on standard error or in the file of -D.
class FileGuestLog : public GuestLog {
public:
    explicit FileGuestLog(std::FILE* file) : file_{file} {}
    void guest_error(std::string_view device, std::string_view what) override
    {
        constexpr u64 kMost = 100'000; // lines: a guest may err for ever
        if (++count_ <= kMost) {
            std::fprintf(file_, "%.*s: %.*s\n", static_cast<int>(device.size()), device.data(),
                         static_cast<int>(what.size()), what.data());
        }
    }

private:
    std::FILE* file_;
    u64 count_ = 0;
};

/// The steps of a run, in order; each returns false after it has said what is wrong.
class Session {
public:
    explicit Session(Options options) : options_{std::move(options)} {}
    ~Session();
    int run();

private:
    bool prepare();
    bool read_inputs();
    bool open_consoles();
    bool build();
    bool open_log();
    void connect_serial_input();
    bool connect_control();
    bool open_display();
    bool start_script();
    void start_ticks();
    int finish(const RunOutcome& outcome);
    int finish_script();
    int finish_plain(const RunOutcome& outcome);
    bool print_state();
    void on_event(MachineEvent event, EventCause cause);
    std::string title() const;
    bool interactive() const;
    DisplayKind display_kind() const;
    MachineOptions machine_options() const;
    bool failed(const std::string& message);

    Options options_;
    int status_on_error_ = 1;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();

    // In the order of use: what is below refers to what is above.
    std::optional<script::Script> script_;
    std::optional<InputLog> replay_;
    std::FILE* log_file_ = nullptr;
    std::unique_ptr<FileGuestLog> guest_log_;
    hostio::HostLoop loop_;
    std::unique_ptr<Consoles> consoles_;
    std::vector<std::unique_ptr<CharSink>> sinks_;
    std::array<std::unique_ptr<script::SerialRecord>, 2> serial_records_;
    std::unique_ptr<BuiltMachine> built_;
    debug::Target target_;
    std::unique_ptr<debug::Monitor> monitor_;
    std::vector<std::unique_ptr<debug::MonitorSession>> monitor_sessions_;
    std::unique_ptr<debug::QmpServer> qmp_;
    std::optional<script::Engine> engine_;
    hostio::DisplayFeed feed_;
    std::unique_ptr<hostio::SdlWindow> window_;
    std::unique_ptr<hostio::TextDisplay> text_display_;
    std::unique_ptr<HostGuard> guard_;
    bool quit_by_signal_ = false;
};

Session::~Session()
{
    guard_.reset();
    window_.reset();
    text_display_.reset();
    loop_.stop();
    if (log_file_ != nullptr && log_file_ != stderr) {
        std::fclose(log_file_);
    }
}

bool Session::failed(const std::string& message)
{
    complain(message, status_on_error_);
    return false;
}

DisplayKind Session::display_kind() const
{
    if (options_.display) {
        return *options_.display;
    }
    const bool headless = options_.no_graphic || script_ || replay_ || options_.stop_at ||
                          options_.vga == VgaModel::none;
    return headless ? DisplayKind::none : DisplayKind::sdl;
}

bool Session::interactive() const
{
    return display_kind() != DisplayKind::none || (consoles_ && consoles_->can_receive());
}

MachineOptions Session::machine_options() const
{
    MachineOptions run;
    const bool free_by_default = script_ || replay_ || options_.stop_at;
    run.pacing =
        options_.free_running.value_or(free_by_default) ? Pacing::free_running : Pacing::paced;
    run.stop_at = options_.stop_at.value_or(Clock::kNever);
    run.start_paused = options_.paused;
    run.reboot = options_.reboot;
    run.quit_on_shutdown = options_.quit_on_shutdown;
    run.live_input = interactive();
    return run;
}

std::string Session::title() const
{
    if (!options_.name.empty()) {
        return options_.name;
    }
    for (const DriveOption& drive : options_.drives) {
        if (!drive.file.empty()) {
            return drive.file.substr(drive.file.rfind('/') + 1);
        }
    }
    return options_.kernel.empty() ? options_.machine
                                   : options_.kernel.substr(options_.kernel.rfind('/') + 1);
}

/// Files the run depends on, before anything is opened for writing.
bool Session::read_inputs()
{
    if (!options_.script.empty()) {
        status_on_error_ = 2;
        auto script = script::read_script(options_.script);
        if (!script) {
            // One mistake a line, each with its place: the form editors understand.
            std::fprintf(stderr, "%s\n", script.error().message.c_str());
            return false;
        }
        script_ = std::move(script).value();
        if (script_->takes_screenshots() && options_.report.empty()) {
            return failed("--script: its screenshots need --report FOLDER");
        }
    }
    if (!options_.report.empty()) {
        if (auto made = script::prepare_report(options_.report); !made) {
            return failed("--report: " + made.error().message);
        }
    }
    if (!options_.replay.empty()) {
        auto log = read_input_log(options_.replay);
        if (!log) {
            return failed("--replay: " + log.error().message);
        }
        if (!log.value().complete) {
            complain("--replay: the log has no end (its recording was cut off); it is replayed as "
                     "far as it goes",
                     0);
        }
        replay_ = std::move(log).value();
    }
    if (!options_.rtc_from_host.empty()) {
        if (!options_.record.empty() || replay_) {
            return failed("-rtc base=" + options_.rtc_from_host +
                          ": the host's clock cannot be recorded; give a date with --rtc-start");
        }
        const std::time_t now = std::time(nullptr);
        std::tm parts{};
        if (options_.rtc_from_host == "utc") {
            ::gmtime_r(&now, &parts);
        } else {
            ::localtime_r(&now, &parts);
        }
        options_.rtc_start_s = ::timegm(&parts);
    }
    return true;
}

bool Session::open_log()
{
    if (!options_.log_guest_errors) {
        return true;
    }
    log_file_ = options_.log_file.empty() ? stderr : std::fopen(options_.log_file.c_str(), "we");
    if (log_file_ == nullptr) {
        return failed("-D: cannot write '" + options_.log_file + "'");
    }
    guest_log_ = std::make_unique<FileGuestLog>(log_file_);
    return true;
}

bool Session::open_consoles()
{
    auto consoles = Consoles::open(options_, loop_, [this] {
        if (built_ && built_->machine) {
            built_->machine->quit();
        }
    });
    if (!consoles) {
        return failed(consoles.error().message);
    }
    consoles_ = std::move(consoles).value();
    if (display_kind() == DisplayKind::text && consoles_->uses_stdio()) {
        return failed("--display text: the terminal is already used by another option");
    }
    return true;
}

bool Session::build()
{
    GuestSinks sinks;
    const auto sink_for = [this](hostio::Channel* channel) -> CharSink* {
        if (channel == nullptr) {
            return nullptr;
        }
        sinks_.push_back(std::make_unique<ChannelSink>(*channel));
        return sinks_.back().get();
    };
    for (std::size_t i = 0; i < serial_records_.size(); ++i) {
        sinks.serial[i] = sink_for(consoles_->serial[i]);
        if (script_) {
            serial_records_[i] = std::make_unique<script::SerialRecord>(sinks.serial[i]);
            sinks.serial[i] = serial_records_[i].get();
        }
    }
    sinks.parallel = sink_for(consoles_->parallel);
    sinks.debug_e9 = sink_for(consoles_->debug_e9);
    sinks.debug_402 = sink_for(consoles_->debug_402);
    sinks.log = guest_log_.get();
    auto built = build_machine(options_, machine_options(), sinks);
    if (!built) {
        return failed(built.error().message);
    }
    built_ = std::move(built).value();
    InputDoor& door = built_->machine->door();
    if (replay_) {
        if (replay_->machine != built_->digest) {
            return failed("--replay: the log was recorded with another machine (other options, "
                          "firmware or kernel)");
        }
        if (auto replaying = door.replay_from(*replay_); !replaying) {
            return failed("--replay: " + replaying.error().message);
        }
    }
    if (!options_.record.empty()) {
        auto writer = InputLogWriter::create(options_.record, built_->digest);
        if (!writer) {
            return failed("--record: " + writer.error().message);
        }
        door.record_to(std::move(writer).value());
    }
    return true;
}

void Session::connect_serial_input()
{
    InputDoor& door = built_->machine->door();
    for (std::size_t i = 0; i < consoles_->serial.size(); ++i) {
        if (consoles_->serial[i] != nullptr) {
            const std::string sink = "serial" + std::to_string(i);
            consoles_->serial[i]->set_receiver(
                [&door, sink](std::span<const u8> bytes) { door.post(sink, bytes); });
        }
    }
}

bool Session::connect_control()
{
    Machine& machine = *built_->machine;
    target_.name = options_.name;
    target_.machine = &machine;
    target_.memory = &built_->board->memory();
    target_.ports = &built_->board->ports();
    target_.display = built_->board->display();
    target_.input = built_->input.get();
    for (const auto& slot : built_->slots) {
        target_.blocks.push_back(slot.get());
    }
    target_.board_report = [&board = *built_->board](debug::BoardReport report) {
        switch (report) {
        case debug::BoardReport::pci:
            return boards::pci_report(board);
        case debug::BoardReport::pic:
            return boards::pic_report(board);
        case debug::BoardReport::irq:
            return boards::irq_report(board);
        case debug::BoardReport::qtree:
            break;
        }
        return boards::qtree_report(board);
    };
    target_.chars = [this] {
        std::vector<debug::CharSlot> list;
        for (auto& [label, description] : consoles_->list()) {
            list.push_back({label, description});
        }
        return list;
    };
    monitor_ = std::make_unique<debug::Monitor>(target_);
    for (hostio::Channel* channel : consoles_->monitors) {
        monitor_sessions_.push_back(
            std::make_unique<debug::MonitorSession>(*monitor_, machine, *channel));
    }
    qmp_ = std::make_unique<debug::QmpServer>(loop_, debug::QmpContext{target_, *monitor_});
    for (const hostio::SocketAddress& address : consoles_->qmp_servers) {
        if (auto listening = qmp_->listen(address); !listening) {
            return failed("-qmp: " + listening.error().message);
        }
    }
    for (hostio::Channel* channel : consoles_->qmp) {
        qmp_->serve(*channel);
    }
    machine.add_event_listener(
        [this](MachineEvent event, EventCause cause) { on_event(event, cause); });
    return true;
}

void Session::on_event(MachineEvent event, EventCause cause)
{
    constexpr std::string_view kReasons[] = {"host-qmp-quit", "host-qmp-system-reset",
                                             "guest-reset", "guest-shutdown"};
    const bool guest = cause == EventCause::guest_reset || cause == EventCause::guest_shutdown;
    qmp_->event(event, guest, kReasons[static_cast<std::size_t>(cause)]);
}

bool Session::open_display()
{
    const auto quit = [this] { built_->machine->quit(); };
    const DisplayKind kind = display_kind();
    if (kind == DisplayKind::none) {
        return true;
    }
    if (target_.display == nullptr) {
        return failed("-display: the machine has no display adapter (-vga none)");
    }
    if (kind == DisplayKind::text) {
        text_display_ = std::make_unique<hostio::TextDisplay>(feed_, *built_->input, quit);
        return true;
    }
    hostio::WindowOptions window;
    window.name = title();
    window.full_screen = options_.full_screen;
    window.on_quit = quit;
    auto opened = hostio::SdlWindow::open(feed_, *built_->input, std::move(window));
    if (!opened) {
        return failed(opened.error().message);
    }
    window_ = std::move(opened).value();
    return true;
}

bool Session::start_script()
{
    if (!script_) {
        return true;
    }
    script::Target target;
    target.display = built_->board->display();
    target.input = built_->input.get();
    target.keyboard_ready = [this] { return built_->keyboard_ready(); };
    target.mouse_ready = [this] { return built_->mouse_ready(); };
    target.disk_activity = [this] { return built_->activity.count; };
    target.serial = {serial_records_[0].get(), serial_records_[1].get()};
    target.now_ns = [this] { return built_->board->clock().now_ns(); };
    const u64 limit = script_->host_limit_s;
    engine_.emplace(std::move(*script_), std::move(target));
    built_->machine->set_poller(script::kPollPeriodNs, [this] {
        if (engine_->poll()) {
            built_->machine->finish({Reason::quit, {}});
        }
    });
    guard_ = std::make_unique<HostGuard>(std::chrono::seconds{limit}, [this, limit] {
        built_->machine->post([this, limit] {
            engine_->fail("the host limit of " + std::to_string(limit) + " s was hit");
            built_->machine->finish({Reason::quit, {}});
        });
    });
    return true;
}

void Session::start_ticks()
{
    Machine& machine = *built_->machine;
    if (window_ || text_display_) {
        machine.set_host_tick(kFramePeriod, [this, &machine] {
            feed_.publish(*target_.display, to_string(machine.state()));
        });
    }
}

bool Session::prepare()
{
    return read_inputs() && open_log() && open_consoles() && build() && connect_control() &&
           start_script();
}

int Session::run()
{
    if (!prepare()) {
        return status_on_error_;
    }
    connect_serial_input();
    const PidFile pid_file{options_.pid_file};
    if (!pid_file.good()) {
        return complain("-pidfile: cannot write '" + options_.pid_file + "'", status_on_error_);
    }
    const SignalWatch signals{loop_, [this] {
                                  quit_by_signal_ = true;
                                  built_->machine->quit();
                              }};
    loop_.start();
    consoles_->wait_for_clients();
    if (consoles_->qmp_waits) {
        qmp_->wait_for_client();
    }
    if (!open_display()) {
        return status_on_error_;
    }
    start_ticks();
    const RunOutcome outcome = built_->machine->run();
    guard_.reset();
    window_.reset();
    text_display_.reset();
    const bool announced = outcome.reason == Reason::guest_shutdown ||
                           outcome.reason == Reason::guest_reset ||
                           outcome.reason == Reason::host_reset;
    if (!announced) {
        qmp_->event(MachineEvent::shutdown, false,
                    quit_by_signal_ ? "host-signal" : "host-qmp-quit");
    }
    built_->board->send_remaining_output();
    qmp_->drain(kDrainLimit);
    consoles_->drain(kDrainLimit);
    const int status = finish(outcome);
    loop_.stop();
    return status;
}

int Session::finish(const RunOutcome& outcome)
{
    for (const boards::PcDrive& drive : built_->board->drives()) {
        if (drive.disk == nullptr || drive.disk->read_only()) {
            continue;
        }
        if (auto flushed = drive.disk->flush(); !flushed) {
            return complain(drive.name + ": " + flushed.error().message, 1);
        }
    }
    if (engine_ && outcome.reason == Reason::stop_at) {
        return print_state() ? 0 : 1; // the script gave the input, as far as it came
    }
    if (engine_) {
        if (!outcome.message.empty()) {
            engine_->fail(outcome.message + " before the last step");
        } else if (!engine_->over()) {
            engine_->fail("the run was ended from outside");
        }
        return finish_script();
    }
    return finish_plain(outcome);
}

/// What --state-hash and --state-dump ask for. False after it has said what is wrong.
bool Session::print_state()
{
    if (options_.state_hash) {
        auto hash = built_->machine->state_hash();
        if (!hash) {
            return failed("--state-hash: " + hash.error().message);
        }
        base::print("state-hash {}\n", to_hex(hash.value()));
        if (!base::finish_answer("emulator")) {
            return false;
        }
    }
    if (options_.state_dump.empty()) {
        return true;
    }
    std::FILE* file = std::fopen(options_.state_dump.c_str(), "we");
    if (file == nullptr) {
        return failed("--state-dump: cannot write '" + options_.state_dump + "'");
    }
    StateDump dump{file};
    auto visited = built_->machine->visit_all(dump);
    const bool written = std::ferror(file) == 0;
    if (std::fclose(file) != 0 || !written) {
        return failed("--state-dump: '" + options_.state_dump + "' could not be written");
    }
    return visited ? true : failed("--state-dump: " + visited.error().message);
}

int Session::finish_plain(const RunOutcome& outcome)
{
    switch (outcome.reason) {
    case Reason::failed:
        return complain(outcome.message, 1);
    case Reason::halted_forever:
        return complain(outcome.message + " (instruction " +
                            std::to_string(built_->cpu->instructions()) + ")",
                        1);
    case Reason::stop_at:
        return print_state() ? 0 : 1;
    case Reason::quit:
    case Reason::guest_shutdown:
    case Reason::guest_reset:
    case Reason::host_reset:
    case Reason::replay_end:
        break;
    }
    if (options_.stop_at && !quit_by_signal_) {
        return complain(
            fmt::format("--stop-at: the run ended at instruction {}", built_->cpu->instructions()),
            1);
    }
    return 0;
}

int Session::finish_script()
{
    if (!engine_->passed()) {
        std::fprintf(stderr, "emulator: script failed: %s\n", engine_->reason().c_str());
        const std::string screen = engine_->screen_text();
        if (!screen.empty()) {
            std::fprintf(stderr, "--- screen ---\n%s\n--------------\n", screen.c_str());
        }
    }
    if (!options_.report.empty()) {
        script::RunFacts facts;
        facts.title = title();
        facts.guest_ns = built_->board->clock().now_ns();
        facts.instructions = built_->cpu->instructions();
        facts.host_s =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
        auto written = script::write_report(options_.report, *engine_, facts,
                                            {serial_records_[0].get(), serial_records_[1].get()});
        if (!written) {
            return complain("--report: " + written.error().message, 1);
        }
    }
    return engine_->passed() ? 0 : 1;
}

} // namespace

int run_session(Options options)
{
    return Session{std::move(options)}.run();
}

} // namespace emu::cli
