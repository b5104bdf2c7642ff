// The one way in for everything from outside: keys, mouse, serial bytes, media changes, resets.
//
// Any thread may post; the machine takes entries at a border between two slices of guest code and
// stamps them with the guest time. What was stamped can be recorded, and a recording delivers the
// same entries at exactly the same points again.
#pragma once

#include "emulator/machine/clock.hpp"
#include "emulator/machine/device.hpp"
#include "emulator/machine/input_log.hpp"

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

namespace emu {

class InputDoor {
public:
    /// Before the machine runs. `sink` outlives the door.
    void add_sink(const std::string& name, InputSink& sink) { sinks_[name] = &sink; }
    bool has_sink(const std::string& name) const { return sinks_.contains(name); }
    std::vector<std::string> sink_names() const;

    /// Any thread. False when the input was refused: no such sink, or a replay is running.
    bool post(std::string_view sink, std::span<const u8> payload);
    void set_waker(std::function<void()> wake) { wake_ = std::move(wake); }

    void record_to(InputLogWriter writer) { writer_ = std::move(writer); }
    /// Errors: an entry names a sink that this machine lacks.
    base::Status replay_from(InputLog log);
    bool replaying() const { return replay_.has_value(); }
    bool recording() const { return writer_.has_value(); }
    bool replay_finished() const { return replay_ && next_ == replay_->entries.size(); }
    const InputLog* replay_log() const { return replay_ ? &*replay_ : nullptr; }

    /// The stamp of the next entry to replay, if any.
    std::optional<InputStamp> next_replay() const;

    /// Machine thread: gives the sinks all that is due now. `after_each` runs after every entry.
    /// Fails when the recording cannot be written.
    base::Status deliver_due(const Clock& clock, const std::function<void()>& after_each);

    /// Closes the recording, if there is one.
    base::Status finish(u64 instructions);

private:
    base::Status deliver_live(const Clock& clock, const std::function<void()>& after_each);
    base::Status deliver_replay(const Clock& clock, const std::function<void()>& after_each);

    std::map<std::string, InputSink*, std::less<>> sinks_;
    std::function<void()> wake_;
    std::optional<InputLogWriter> writer_;
    std::optional<InputLog> replay_;
    std::size_t next_ = 0;

    struct Live {
        InputSink* sink;
        std::string name;
        std::vector<u8> payload;
    };
    std::mutex mutex_;
    std::deque<Live> live_;
    std::atomic<bool> has_live_ = false;
};

} // namespace emu
