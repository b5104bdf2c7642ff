#include "imgtool/ops/workers.hpp"

#include <algorithm>
#include <pthread.h>
#include <sched.h>

namespace img {

unsigned thread_count(unsigned wanted, unsigned most)
{
    return std::clamp(wanted != 0 ? wanted : std::thread::hardware_concurrency(), 1U, most);
}

void Workers::start(unsigned count, const std::function<void()>& work)
{
    cpu_set_t others;
    const bool spread =
        ::sched_getaffinity(0, sizeof others, &others) == 0 && CPU_COUNT(&others) > 1;
    CPU_CLR(::sched_getcpu(), &others);
    while (count-- != 0) {
        threads_.emplace_back(work);
        if (spread) {
            // The kernel likes to keep threads that wake each other on one processor.
            (void)::pthread_setaffinity_np(threads_.back().native_handle(), sizeof others, &others);
        }
    }
}

} // namespace img
