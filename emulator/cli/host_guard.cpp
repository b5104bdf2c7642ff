#include "emulator/cli/host_guard.hpp"

#include "base/process.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace emu::cli {

namespace {

using namespace std::chrono_literals;

constexpr auto kGrace = 30s;

} // namespace

HostGuard::HostGuard(std::chrono::seconds limit, std::function<void()> expired)
    : expired_{std::move(expired)}, thread_{[this, limit] { run(limit); }}
{}

HostGuard::~HostGuard()
{
    {
        const std::lock_guard lock{mutex_};
        done_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void HostGuard::run(std::chrono::seconds limit)
{
    std::unique_lock lock{mutex_};
    if (changed_.wait_for(lock, limit, [this] { return done_; })) {
        return;
    }
    expired_();
    if (!changed_.wait_for(lock, kGrace, [this] { return done_; })) {
        std::fprintf(stderr, "emulator: the machine does not stop; ended by force\n");
        std::_Exit(1);
    }
}

void block_signals()
{
    const sigset_t set = base::ending_signals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

SignalWatch::SignalWatch(hostio::HostLoop& loop, std::function<void()> on_signal) : loop_{loop}
{
    const sigset_t set = base::ending_signals();
    fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    loop_.watch(fd_, POLLIN, [this, on_signal = std::move(on_signal)](short) {
        signalfd_siginfo info{};
        if (::read(fd_, &info, sizeof info) == sizeof info) {
            on_signal();
        }
    });
}

SignalWatch::~SignalWatch()
{
    loop_.stop();
    loop_.unwatch(fd_);
    ::close(fd_);
}

PidFile::PidFile(std::string path) : path_{std::move(path)}
{
    if (!path_.empty()) {
        std::ofstream file{path_};
        file << ::getpid() << '\n';
        file.close();
        good_ = static_cast<bool>(file);
    }
}

PidFile::~PidFile()
{
    if (!path_.empty() && good_) {
        ::unlink(path_.c_str());
    }
}

} // namespace emu::cli
