// One thread that watches file descriptors for all channels, monitors and control sockets.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace emu::hostio {

class HostLoop {
public:
    using Task = std::function<void()>;
    using Ready = std::function<void(short revents)>; // bits of poll(2)

    HostLoop();
    ~HostLoop();
    HostLoop(const HostLoop&) = delete;
    HostLoop& operator=(const HostLoop&) = delete;

    void start();
    void stop(); // joins the thread; watches stay registered

    /// Any thread.
    void post(Task task);

    // The loop's thread, or before start().
    void watch(int fd, short events, Ready ready);
    void unwatch(int fd);

private:
    void run();
    void run_tasks();

    struct Watch {
        short events;
        Ready ready;
    };
    int wake_fd_;
    std::atomic<bool> stopping_ = false;
    std::map<int, Watch> watches_;
    std::mutex mutex_;
    std::deque<Task> tasks_;
    std::thread thread_;
};

} // namespace emu::hostio
