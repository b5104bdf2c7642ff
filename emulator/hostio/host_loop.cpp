#include "emulator/hostio/host_loop.hpp"

#include <cstdint>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace emu::hostio {

HostLoop::HostLoop() : wake_fd_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)} {}

HostLoop::~HostLoop()
{
    stop();
    ::close(wake_fd_);
}

void HostLoop::start()
{
    stopping_ = false;
    thread_ = std::thread{[this] { run(); }};
}

void HostLoop::stop()
{
    if (thread_.joinable()) {
        stopping_ = true;
        post([] {});
        thread_.join();
    }
}

void HostLoop::post(Task task)
{
    {
        const std::lock_guard lock{mutex_};
        tasks_.push_back(std::move(task));
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void HostLoop::watch(int fd, short events, Ready ready)
{
    watches_[fd] = {events, std::move(ready)};
}

void HostLoop::unwatch(int fd)
{
    watches_.erase(fd);
}

void HostLoop::run_tasks()
{
    std::deque<Task> tasks;
    {
        const std::lock_guard lock{mutex_};
        tasks.swap(tasks_);
    }
    for (Task& task : tasks) {
        task();
    }
}

void HostLoop::run()
{
    std::vector<pollfd> fds;
    while (!stopping_) {
        run_tasks();
        fds.assign(1, {wake_fd_, POLLIN, 0});
        for (const auto& [fd, watch] : watches_) {
            fds.push_back({fd, watch.events, 0});
        }
        if (::poll(fds.data(), fds.size(), -1) < 0) {
            continue; // interrupted by a signal
        }
        std::uint64_t count = 0;
        [[maybe_unused]] const auto got = ::read(wake_fd_, &count, sizeof count);
        for (const pollfd& entry : fds) {
            if (entry.revents == 0 || entry.fd == wake_fd_) {
                continue;
            }
            // A handler may remove any watch, also this one: look it up and keep a copy alive.
            const auto found = watches_.find(entry.fd);
            if (found != watches_.end()) {
                const Ready ready = found->second.ready;
                ready(entry.revents);
            }
        }
    }
    run_tasks();
}

} // namespace emu::hostio
