// Takes numbered items from several threads and hands them on in the order of the numbers.
#pragma once

#include "base/types.hpp"

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace img {

/// Nobody waits for his turn: an item that comes early is kept, and whoever brings the one that
/// was missing hands on all that follow it. Waking a sleeping thread for each item costs more than
/// many items.
template <class Item>
class OrderedQueue {
public:
    /// At most `ahead` items are kept; who brings more waits.
    explicit OrderedQueue(std::size_t ahead) : ahead_{ahead} {}

    /// Calls `use(item)` for this and all items that it was waited for, in the order of the numbers
    /// (the first is 0), never in two threads at once. Returns an item to fill next.
    template <class Use>
    std::unique_ptr<Item> put(base::u64 number, std::unique_ptr<Item> item, const Use& use)
    {
        std::unique_lock lock{mutex_};
        room_.wait(lock, [&] { return number == next_ || kept_.size() < ahead_; });
        kept_.emplace(number, std::move(item));
        if (!busy_) {
            busy_ = true;
            while (!kept_.empty() && kept_.begin()->first == next_) {
                auto node = kept_.extract(kept_.begin());
                lock.unlock();
                use(*node.mapped());
                lock.lock();
                spare_.push_back(std::move(node.mapped()));
                ++next_;
                if (kept_.size() == ahead_ / 2) { // who waits then has several to bring
                    room_.notify_all();
                }
            }
            busy_ = false;
            room_.notify_all(); // the next may be among those who wait
        }
        if (spare_.empty()) {
            return std::make_unique<Item>();
        }
        auto spare = std::move(spare_.back());
        spare_.pop_back();
        return spare;
    }

private:
    std::size_t ahead_;
    std::mutex mutex_;
    std::condition_variable room_;
    std::map<base::u64, std::unique_ptr<Item>> kept_;
    std::vector<std::unique_ptr<Item>> spare_;
    base::u64 next_ = 0;
    bool busy_ = false;
};

} // namespace img
