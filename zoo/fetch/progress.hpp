// What a download tells its watcher. The terminal's implementation draws bars; tests record.
#pragma once

#include "base/types.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace zoo {

/// Called from several threads at once, one `name` per download.
class Progress {
public:
    virtual ~Progress() = default;

    /// `total` is unknown for content that is found at run time.
    virtual void begin(std::string_view name, std::optional<base::u64> total) = 0;
    /// Bytes that are there; `source` says where they come from. The first call for a source is
    /// made before its first byte, with what an earlier attempt left.
    virtual void advance(std::string_view name, base::u64 done, std::string_view source) = 0;
    /// A sentence that a person should read: a mirror that failed, a lock waited for.
    virtual void note(std::string_view name, std::string_view text) = 0;
    virtual void end(std::string_view name, std::string_view outcome) = 0;
};

/// Bars with rate and time left when standard error is a terminal, else plain lines.
std::unique_ptr<Progress> make_terminal_progress();

/// Says nothing.
std::unique_ptr<Progress> make_silent_progress();

/// "12.3 MiB".
std::string format_size(base::u64 bytes);

} // namespace zoo
