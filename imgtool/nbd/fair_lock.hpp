// A lock that is given in the order in which it was asked for: a client that sends one request
// after another cannot keep the others from the disk, as it can with a std::mutex.
#pragma once

#include "base/types.hpp"

#include <condition_variable>
#include <mutex>

namespace img::nbd {

class FairLock {
public:
    void lock()
    {
        std::unique_lock guard{mutex_};
        const base::u64 ticket = next_ticket_++;
        turn_.wait(guard, [&] { return serving_ == ticket; });
    }
    void unlock()
    {
        {
            const std::lock_guard guard{mutex_};
            ++serving_;
        }
        turn_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable turn_;
    base::u64 next_ticket_ = 0;
    base::u64 serving_ = 0;
};

} // namespace img::nbd
