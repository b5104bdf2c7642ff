#include "zoo/host/process.hpp"

#include "zoo/host/file.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace zoo {

using base::Errc;
using base::Result;

namespace {

constexpr std::size_t kMaxOutput = 16 * 1024 * 1024;
constexpr int kCannotRun = 127;

/// In the child: only calls that are safe after fork.
[[noreturn]] void exec_child(const Command& command, char* const* arguments, int failure)
{
    ::prctl(PR_SET_PDEATHSIG, SIGTERM); // what we run does not outlive us
    for (const auto& [name, value] : command.environment) {
        ::setenv(name.c_str(), value.c_str(), 1);
    }
    if (command.folder.empty() || ::chdir(command.folder.c_str()) == 0) {
        ::execvp(arguments[0], arguments);
    }
    const int code = errno;
    [[maybe_unused]] const auto told = ::write(failure, &code, sizeof code);
    ::_exit(kCannotRun);
}

std::vector<char*> argument_pointers(const Command& command)
{
    std::vector<char*> pointers;
    for (const std::string& argument : command.arguments) {
        pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);
    return pointers;
}

Result<int> wait_for(pid_t child)
{
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return system_error("waiting for a program");
        }
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct Pipe {
    FileHandle read_end, write_end;
};

Result<Pipe> make_pipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return system_error("pipe");
    }
    return Pipe{FileHandle{ends[0]}, FileHandle{ends[1]}};
}

/// Waits until the child runs the program; the reason when it cannot.
base::Status await_exec(const Command& command, Pipe failure)
{
    failure.write_end = FileHandle{};
    int code = 0;
    if (::read(failure.read_end.get(), &code, sizeof code) == sizeof code) {
        return base::fail(Errc::io,
                          "running " + command.arguments.front() + ": " + std::strerror(code));
    }
    return base::ok();
}

std::string read_all(int descriptor)
{
    std::string output;
    std::array<char, 65536> piece{};
    while (true) {
        const ssize_t got = ::read(descriptor, piece.data(), piece.size());
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return output;
        }
        if (got > 0 && output.size() < kMaxOutput) {
            output.append(piece.data(), static_cast<std::size_t>(got));
        }
    }
}

} // namespace

Result<Finished> run_captured(const Command& command)
{
    const std::vector<char*> arguments = argument_pointers(command);
    auto failure = make_pipe();
    auto output = make_pipe();
    auto nothing = FileHandle::open("/dev/null", O_RDONLY);
    if (!failure || !output || !nothing) {
        return system_error("running " + command.arguments.front());
    }
    const pid_t child = ::fork();
    if (child < 0) {
        return system_error("fork");
    }
    if (child == 0) {
        ::dup2(nothing.value().get(), STDIN_FILENO);
        ::dup2(output.value().write_end.get(), STDOUT_FILENO);
        ::dup2(output.value().write_end.get(), STDERR_FILENO);
        exec_child(command, arguments.data(), failure.value().write_end.get());
    }
    output.value().write_end = FileHandle{};
    auto started = await_exec(command, std::move(failure).value());
    Finished finished;
    finished.output = read_all(output.value().read_end.get());
    auto status = wait_for(child);
    if (!started) {
        return std::move(started).error();
    }
    if (!status) {
        return std::move(status).error();
    }
    finished.exit_status = status.value();
    return finished;
}

Result<Finished> run_in_terminal(const Command& command)
{
    const std::vector<char*> arguments = argument_pointers(command);
    auto failure = make_pipe();
    if (!failure) {
        return std::move(failure).error();
    }
    struct sigaction ignore = {};
    struct sigaction before = {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGINT, &ignore, &before);
    const pid_t child = ::fork();
    if (child == 0) {
        ::sigaction(SIGINT, &before, nullptr);
        exec_child(command, arguments.data(), failure.value().write_end.get());
    }
    auto started = child < 0 ? base::Status{system_error("fork")}
                             : await_exec(command, std::move(failure).value());
    auto status = child < 0 ? Result<int>{kCannotRun} : wait_for(child);
    ::sigaction(SIGINT, &before, nullptr);
    if (!started) {
        return std::move(started).error();
    }
    if (!status) {
        return std::move(status).error();
    }
    return Finished{status.value(), {}};
}

std::string quote_command(const std::vector<std::string>& arguments)
{
    constexpr std::string_view kSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789%+,-./:=@_";
    std::string line;
    for (const std::string& argument : arguments) {
        if (!line.empty()) {
            line += ' ';
        }
        if (!argument.empty() && argument.find_first_not_of(kSafe) == std::string::npos) {
            line += argument;
            continue;
        }
        line += '\'';
        for (const char c : argument) {
            line += c == '\'' ? std::string{"'\\''"} : std::string(1, c);
        }
        line += '\'';
    }
    return line;
}

std::filesystem::path program_folder()
{
    std::error_code error;
    return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

} // namespace zoo
