// Keeps a copy below a number of bytes per second.
#pragma once

#include "base/types.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

namespace img {

class RateLimit {
public:
    /// 0: no limit.
    explicit RateLimit(base::u64 bytes_per_second) : rate_{bytes_per_second} {}

    /// Sleeps until `bytes` more may have been copied, or `stop` says true.
    void spend(base::u64 bytes, const std::function<bool()>& stop)
    {
        if (rate_ == 0 || bytes == 0) {
            return;
        }
        const std::chrono::duration<double> time{static_cast<double>(bytes) /
                                                 static_cast<double>(rate_)};
        due_ = std::max(due_, Clock::now()) + std::chrono::duration_cast<Clock::duration>(time);
        constexpr auto kLookUp = std::chrono::milliseconds{100};
        while (!stop()) {
            const auto left = due_ - Clock::now();
            if (left <= Clock::duration::zero()) {
                return;
            }
            std::this_thread::sleep_for(std::min<Clock::duration>(left, kLookUp));
        }
    }

private:
    using Clock = std::chrono::steady_clock;

    base::u64 rate_; // bytes per second
    Clock::time_point due_{};
};

} // namespace img
