// Lets threads that work on numbered pieces pass one at a time, in the order of the numbers.
#pragma once

#include "base/types.hpp"

#include <condition_variable>
#include <mutex>

namespace img {

class Turnstile {
public:
    /// Waits until all pieces before `number` (the first is 0) have passed.
    void enter(base::u64 number)
    {
        std::unique_lock lock{mutex_};
        passed_.wait(lock, [&] { return next_ == number; });
    }
    void leave()
    {
        {
            const std::lock_guard lock{mutex_};
            ++next_;
        }
        passed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable passed_;
    base::u64 next_ = 0;
};

} // namespace img
