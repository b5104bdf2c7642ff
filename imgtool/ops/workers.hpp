// Threads that help with one operation.
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace img {

/// How many threads an operation is worth: `wanted`, or when that is 0 one for each processor of
/// the host; no more than `most`.
unsigned thread_count(unsigned wanted, unsigned most);

class Workers {
public:
    /// Starts threads that all run `work` once, on other processors than the calling thread's while
    /// there are any. What `work` uses must live until join().
    void start(unsigned count, const std::function<void()>& work);
    void join() { threads_.clear(); }

private:
    std::vector<std::jthread> threads_;
};

} // namespace img
