#include "base/process.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

/// How a child that runs `body` ends, as waitpid() tells it; body's value is the exit code.
int child_status(const std::function<int()>& body)
{
    const pid_t child = ::fork();
    if (child == 0) {
        std::_Exit(body());
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return status;
}

int exit_code(const std::function<int()>& body)
{
    const int status = child_status(body);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

} // namespace

TEST_CASE("process: closed standard descriptors are taken before a file can get them")
{
    const int code = exit_code([] {
        for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
            ::close(standard);
        }
        base::secure_process();
        char byte = 0;
        const bool empty = ::read(STDIN_FILENO, &byte, 1) == 0;
        const bool refused =
            ::write(STDOUT_FILENO, "x", 1) < 0 && ::write(STDERR_FILENO, "x", 1) < 0;
        const int file = ::open("/dev/null", O_RDONLY);
        return empty && refused && file > STDERR_FILENO ? 40 : 41;
    });

    CHECK(code == 40);
}

TEST_CASE("process: a descriptor that is open is left as it is")
{
    const int code = exit_code([] {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0 || ::dup2(ends[1], STDOUT_FILENO) < 0) {
            return 42;
        }
        ::close(STDIN_FILENO);
        base::secure_process();
        char byte = 0;
        const bool passed = ::write(STDOUT_FILENO, "y", 1) == 1 && ::read(ends[0], &byte, 1) == 1;
        return passed && byte == 'y' ? 40 : 41;
    });

    CHECK(code == 40);
}

TEST_CASE("process: a pipe without a reader is an error of the write")
{
    const int code = exit_code([] {
        std::array<int, 2> ends{};
        base::secure_process();
        if (::pipe(ends.data()) != 0) {
            return 42;
        }
        ::close(ends[0]);
        return ::write(ends[1], "x", 1) < 0 && errno == EPIPE ? 40 : 41;
    });

    CHECK(code == 40);
}

TEST_CASE("process: the limit for file sizes is an error of the write")
{
    const int code = exit_code([] {
        base::secure_process();
        const rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
        const int file = ::open("/tmp", O_TMPFILE | O_RDWR, 0600);
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0 || file < 0) {
            return 42;
        }
        return ::pwrite(file, "x", 1, 4096) < 0 && errno == EFBIG ? 40 : 41;
    });

    CHECK(code == 40);
}

TEST_CASE("process: programs that are started have the signals as they were")
{
    const int status = child_status([] {
        base::secure_process();
        ::execl("/bin/sh", "sh", "-c", "kill -s PIPE $$; exit 41", nullptr);
        return 42;
    });

    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGPIPE);
}

TEST_CASE("process: what is ignored at the start stays so, and does not end the program")
{
    const int code = exit_code([] {
        ::signal(SIGHUP, SIG_IGN);
        ::signal(SIGTERM, SIG_DFL);
        base::on_signal(SIGHUP, [](int) { std::_Exit(43); });
        base::on_signal(SIGTERM, [](int) { std::_Exit(40); });
        const sigset_t ending = base::ending_signals();
        if (::sigismember(&ending, SIGHUP) != 0 || ::sigismember(&ending, SIGTERM) != 1) {
            return 44;
        }
        ::raise(SIGHUP);
        ::raise(SIGTERM);
        return 41;
    });

    CHECK(code == 40);
}
