// How other threads reach the machine: closures run on the machine's thread between slices.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace emu {

class Mailbox {
public:
    using Task = std::function<void()>;
    using TimePoint = std::chrono::steady_clock::time_point;

    /// Any thread. The task runs on the machine's thread, also while the guest is paused.
    void post(Task task);

    /// Any thread: ends a wait early without a task (live input has been queued elsewhere).
    void wake();

    /// Machine thread: runs what has been posted. Cheap when there is nothing.
    void run_pending();

    /// Machine thread: sleeps until something is posted, wake() is called or `until` is reached.
    /// True when it was woken early.
    bool wait_until(TimePoint until);

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Task> tasks_;
    bool woken_ = false;
    std::atomic<bool> pending_ = false;
};

} // namespace emu
