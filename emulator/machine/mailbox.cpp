#include "emulator/machine/mailbox.hpp"

#include <utility>

namespace emu {

void Mailbox::post(Task task)
{
    const std::lock_guard lock{mutex_};
    tasks_.push_back(std::move(task));
    woken_ = true;
    pending_.store(true, std::memory_order_release);
    changed_.notify_one();
}

void Mailbox::wake()
{
    const std::lock_guard lock{mutex_};
    woken_ = true;
    changed_.notify_one();
}

void Mailbox::run_pending()
{
    if (!pending_.load(std::memory_order_acquire)) {
        return;
    }
    std::deque<Task> tasks;
    {
        const std::lock_guard lock{mutex_};
        tasks.swap(tasks_);
        pending_.store(false, std::memory_order_release);
    }
    for (Task& task : tasks) {
        task();
    }
}

bool Mailbox::wait_until(TimePoint until)
{
    std::unique_lock lock{mutex_};
    const bool woken = changed_.wait_until(lock, until, [this] { return woken_; });
    woken_ = false;
    return woken;
}

} // namespace emu
