#include "imgtool/cli/daemon.hpp"

#include "imgtool/cli/command.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace img::cli {

namespace {

base::Error host_error(const std::string& what)
{
    return base::fail(base::Errc::io, fmt::format("{}: {}", what, std::strerror(errno)));
}

/// The exit code of the process that was started: success when it said that it is ready.
int outcome(int told, pid_t child)
{
    char byte = 0;
    ssize_t n = 0;
    do {
        n = ::read(told, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1) {
        return kSuccess;
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) != kSuccess ? WEXITSTATUS(status) : kFailure;
}

} // namespace

base::Result<std::optional<int>> Daemon::start()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return host_error("pipe");
    }
    std::fflush(nullptr); // or it would be written twice
    const pid_t child = ::fork();
    if (child < 0) {
        ::close(ends[0]);
        ::close(ends[1]);
        return host_error("fork");
    }
    if (child != 0) {
        ::close(ends[1]);
        const int code = outcome(ends[0], child);
        ::close(ends[0]);
        return std::optional<int>{code};
    }
    ::close(ends[0]);
    told_ = ends[1];
    ::setsid();
    return std::optional<int>{};
}

void Daemon::ready()
{
    if (told_ < 0) {
        return;
    }
    std::fflush(nullptr);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        ::dup2(null, stream);
    }
    ::close(null);
    const char byte = 1;
    // When the first process is gone, there is nobody to tell.
    if (::write(told_, &byte, 1) != 1) {
        errno = 0;
    }
    ::close(told_);
    told_ = -1;
}

PidFile::~PidFile()
{
    if (!path_.empty()) {
        ::unlink(path_.c_str());
    }
}

base::Status PidFile::write(const std::string& path)
{
    std::FILE* file = std::fopen(path.c_str(), "we");
    if (file == nullptr) {
        return host_error("cannot create PID file '" + path + "'");
    }
    path_ = path;
    const bool printed = std::fprintf(file, "%ld\n", static_cast<long>(::getpid())) > 0;
    if (std::fclose(file) != 0 || !printed) {
        return host_error("cannot write PID file '" + path + "'");
    }
    return base::ok();
}

} // namespace img::cli
