// Hands items from one thread to another, a few ahead.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace img {

/// Items come back to be filled again, so that their memory is taken once.
template <class Item>
class Channel {
public:
    explicit Channel(std::size_t ahead) : ahead_{ahead} {}

    /// An item to fill.
    Item take_spare()
    {
        const std::lock_guard lock{mutex_};
        if (spare_.empty()) {
            return Item{};
        }
        Item item = std::move(spare_.back());
        spare_.pop_back();
        return item;
    }
    /// Waits for room. False when nobody wants more.
    bool push(Item item)
    {
        std::unique_lock lock{mutex_};
        room_.wait(lock, [&] { return closed_ || items_.size() < ahead_; });
        if (closed_) {
            return false;
        }
        items_.push_back(std::move(item));
        filled_.notify_one();
        return true;
    }
    /// The next item; nothing once the channel is closed and empty.
    std::optional<Item> pop()
    {
        std::unique_lock lock{mutex_};
        filled_.wait(lock, [&] { return closed_ || !items_.empty(); });
        if (items_.empty()) {
            return std::nullopt;
        }
        Item item = std::move(items_.front());
        items_.pop_front();
        if (items_.size() == ahead_ / 2) { // waking a thread for each item costs more than many
            room_.notify_one();
        }
        return item;
    }
    void give_back(Item item)
    {
        const std::lock_guard lock{mutex_};
        spare_.push_back(std::move(item));
    }
    /// From either end: nothing more will come, or is wanted.
    void close()
    {
        const std::lock_guard lock{mutex_};
        closed_ = true;
        room_.notify_all();
        filled_.notify_all();
    }

private:
    std::size_t ahead_;
    std::mutex mutex_;
    std::condition_variable room_, filled_;
    std::deque<Item> items_;
    std::vector<Item> spare_;
    bool closed_ = false;
};

} // namespace img
