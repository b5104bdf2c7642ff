#include "emulator/hostio/display_feed.hpp"

#include <utility>

namespace emu::hostio {

namespace {

bool same_text(const std::optional<TextScreen>& a, const std::optional<TextScreen>& b)
{
    if (a.has_value() != b.has_value()) {
        return false;
    }
    return !a ||
           (a->columns == b->columns && a->rows == b->rows && a->characters == b->characters &&
            a->attributes == b->attributes && a->cursor_visible == b->cursor_visible &&
            a->cursor_column == b->cursor_column && a->cursor_row == b->cursor_row);
}

bool same(const ScreenShot& a, const ScreenShot& b)
{
    return a.state == b.state && a.mode == b.mode && a.frame.width == b.frame.width &&
           a.frame.height == b.frame.height && a.frame.pixels == b.frame.pixels &&
           same_text(a.text, b.text);
}

} // namespace

void DisplayFeed::publish(DisplaySource& source, std::string_view state)
{
    auto shot = std::make_shared<ScreenShot>();
    source.render(shot->frame);
    shot->text = source.text();
    shot->mode = source.mode_name();
    shot->state = state;
    const std::lock_guard lock{mutex_};
    if (latest_ && same(*latest_, *shot)) {
        return;
    }
    latest_ = std::move(shot);
    changed_.notify_all();
}

std::shared_ptr<const ScreenShot> DisplayFeed::latest() const
{
    const std::lock_guard lock{mutex_};
    return latest_;
}

std::shared_ptr<const ScreenShot> DisplayFeed::wait_for_other(const ScreenShot* seen,
                                                              std::chrono::milliseconds limit) const
{
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, limit, [&] { return latest_.get() != seen; });
    return latest_;
}

} // namespace emu::hostio
