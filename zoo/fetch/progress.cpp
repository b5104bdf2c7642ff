#include "zoo/fetch/progress.hpp"

#include "base/output.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>

namespace zoo {

using base::u64;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kRedrawInterval = std::chrono::milliseconds{100};
constexpr auto kPlainInterval = std::chrono::seconds{5};
constexpr int kBarWidth = 24;
constexpr std::size_t kDefaultColumns = 80;

struct Download {
    std::optional<u64> total;
    u64 done = 0;
    u64 done_at_start = 0; // bytes of an earlier attempt do not count for the rate
    std::string source;    // empty until the first byte
    Clock::time_point began = Clock::now();
    Clock::time_point spoke = began;

    double rate() const // bytes a second
    {
        const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
        return seconds > 0.2 ? static_cast<double>(done - done_at_start) / seconds : 0;
    }
};

std::string format_time(double seconds)
{
    const auto whole = static_cast<u64>(std::min(seconds, 359'999.0));
    if (whole >= 3600) {
        return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
    }
    return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string describe(const Download& download)
{
    std::string text = format_size(download.done);
    if (download.total) {
        text += " of " + format_size(*download.total);
    }
    const double rate = download.rate();
    if (rate > 0) {
        text += fmt::format("  {}/s", format_size(static_cast<u64>(rate)));
        if (download.total && *download.total >= download.done) {
            text += "  " +
                    format_time(static_cast<double>(*download.total - download.done) / rate) +
                    " left";
        }
    }
    return text;
}

std::string draw_bar(const Download& download)
{
    if (!download.total || *download.total == 0) {
        return "";
    }
    const double part =
        std::min(1.0, static_cast<double>(download.done) / static_cast<double>(*download.total));
    const int filled = static_cast<int>(part * kBarWidth);
    return fmt::format("[{:#<{}}{:.<{}}] {:3}%  ", "", filled, "", kBarWidth - filled,
                       static_cast<int>(part * 100));
}

class TerminalProgress : public Progress {
public:
    void begin(std::string_view name, std::optional<u64> total) override
    {
        const std::lock_guard guard{mutex_};
        downloads_[std::string{name}].total = total;
    }

    void advance(std::string_view name, u64 done, std::string_view source) override
    {
        const std::lock_guard guard{mutex_};
        Download& download = downloads_[std::string{name}];
        if (download.source != source) {
            download.source = source;
            download.began = Clock::now();
            download.done_at_start = done;
            print(fmt::format("{}: from {}{}", name, source,
                              done > 0 ? ", going on at " + format_size(done) : ""));
        }
        download.done = done;
        tick(name, download);
    }

    void note(std::string_view name, std::string_view text) override
    {
        const std::lock_guard guard{mutex_};
        print(fmt::format("{}: {}", name, text));
    }

    void end(std::string_view name, std::string_view outcome) override
    {
        const std::lock_guard guard{mutex_};
        downloads_.erase(std::string{name});
        print(fmt::format("{}: {}", name, outcome));
    }

private:
    void tick(std::string_view name, Download& download)
    {
        const auto now = Clock::now();
        if (is_terminal_) {
            if (now - drawn_ >= kRedrawInterval) {
                redraw();
            }
        } else if (now - download.spoke >= kPlainInterval) {
            download.spoke = now;
            print(fmt::format("{}: {}", name, describe(download)));
        }
    }

    void erase()
    {
        if (lines_ > 0) {
            base::print(stderr, "\x1b[{}A\x1b[J", lines_); // up, then clear to the end
            lines_ = 0;
        }
    }

    void redraw()
    {
        erase();
        winsize window{};
        const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1;
        const std::size_t columns = known ? window.ws_col - 1U : kDefaultColumns;
        for (const auto& [name, download] : downloads_) {
            if (!download.source.empty()) {
                const std::string line =
                    fmt::format("{:<14} {}{}", name, draw_bar(download), describe(download));
                base::print(stderr, "{}\n", line.substr(0, columns));
                ++lines_;
            }
        }
        drawn_ = Clock::now();
    }

    void print(std::string_view line)
    {
        erase();
        base::print(stderr, "{}\n", line);
        if (is_terminal_) {
            redraw();
        }
    }

    std::mutex mutex_;
    std::map<std::string, Download> downloads_;
    const bool is_terminal_ = ::isatty(STDERR_FILENO) != 0;
    int lines_ = 0;
    Clock::time_point drawn_;
};

class SilentProgress : public Progress {
    void begin(std::string_view, std::optional<u64>) override {}
    void advance(std::string_view, u64, std::string_view) override {}
    void note(std::string_view, std::string_view) override {}
    void end(std::string_view, std::string_view) override {}
};

} // namespace

std::unique_ptr<Progress> make_terminal_progress()
{
    return std::make_unique<TerminalProgress>();
}

std::unique_ptr<Progress> make_silent_progress()
{
    return std::make_unique<SilentProgress>();
}

std::string format_size(u64 bytes)
{
    if (bytes < 1024) {
        return fmt::format("{} B", bytes);
    }
    double value = static_cast<double>(bytes) / 1024;
    for (const char* unit : {"KiB", "MiB", "GiB"}) {
        if (value < 1024 || unit[0] == 'G') {
            return fmt::format("{:.1f} {}", value, unit);
        }
        value /= 1024;
    }
    return {};
}

} // namespace zoo
