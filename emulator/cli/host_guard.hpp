// What keeps a run within its host: a limit of wall time, signals, the file with the process id.
#pragma once

#include "emulator/hostio/host_loop.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace emu::cli {

/// Calls `expired` after `limit` of wall time. When the machine does not stop for that either, the
/// program is ended by force.
class HostGuard {
public:
    HostGuard(std::chrono::seconds limit, std::function<void()> expired);
    ~HostGuard();

private:
    void run(std::chrono::seconds limit);

    std::function<void()> expired_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool done_ = false;
    std::thread thread_;
};

/// Before any thread is started: signals that end the program are taken by SignalWatch alone.
void block_signals();

/// Calls `on_signal` on the loop's thread at those of SIGINT, SIGTERM and SIGHUP that are not
/// ignored.
class SignalWatch {
public:
    SignalWatch(hostio::HostLoop& loop, std::function<void()> on_signal);
    ~SignalWatch();

private:
    hostio::HostLoop& loop_;
    int fd_;
};

/// Holds the process id while the program runs.
class PidFile {
public:
    /// An empty path means none.
    explicit PidFile(std::string path);
    ~PidFile();
    bool good() const { return good_; }

private:
    std::string path_;
    bool good_ = true;
};

} // namespace emu::cli
