#include "base/process.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <initializer_list>
#include <unistd.h>

namespace base {

namespace {

bool is_ignored(int signal)
{
    struct sigaction now = {};
    return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

void secure_descriptors()
{
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(standard, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        // The lowest number that is free is this one. Read-only, so that an answer that goes
        // nowhere is known to be lost. Without a /dev, the root folder holds the place as well.
        if (::open("/dev/null", O_RDONLY) < 0 && ::open("/", O_RDONLY | O_DIRECTORY) < 0) {
            std::_Exit(EXIT_FAILURE);
        }
    }
}

} // namespace

void secure_process()
{
    secure_descriptors();
    for (const int signal : {SIGPIPE, SIGXFSZ}) {
        on_signal(signal, [](int) {}); // not SIG_IGN, which programs that we start would inherit
    }
}

void on_signal(int signal, void (*handler)(int))
{
    if (is_ignored(signal)) {
        return;
    }
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    ::sigaction(signal, &action, nullptr);
}

sigset_t ending_signals()
{
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        if (!is_ignored(signal)) {
            ::sigaddset(&set, signal);
        }
    }
    return set;
}

} // namespace base
