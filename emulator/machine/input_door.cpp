#include "emulator/machine/input_door.hpp"

namespace emu {

std::vector<std::string> InputDoor::sink_names() const
{
    std::vector<std::string> names;
    for (const auto& [name, sink] : sinks_) {
        names.push_back(name);
    }
    return names;
}

bool InputDoor::post(std::string_view sink, std::span<const u8> payload)
{
    const auto found = sinks_.find(sink);
    if (replaying() || found == sinks_.end()) {
        return false;
    }
    {
        const std::lock_guard lock{mutex_};
        live_.push_back({found->second, found->first, {payload.begin(), payload.end()}});
        has_live_.store(true, std::memory_order_release);
    }
    if (wake_) {
        wake_();
    }
    return true;
}

base::Status InputDoor::replay_from(InputLog log)
{
    for (const InputEntry& entry : log.entries) {
        if (!sinks_.contains(entry.sink)) {
            return base::fail(base::Errc::invalid_argument,
                              "the log has input for '" + entry.sink +
                                  "', which this machine does not have");
        }
    }
    replay_ = std::move(log);
    next_ = 0;
    return base::ok();
}

std::optional<InputStamp> InputDoor::next_replay() const
{
    if (!replay_ || next_ >= replay_->entries.size()) {
        return std::nullopt;
    }
    return replay_->entries[next_].stamp;
}

base::Status InputDoor::deliver_due(const Clock& clock, const std::function<void()>& after_each)
{
    if (replay_) {
        return deliver_replay(clock, after_each);
    }
    if (!has_live_.load(std::memory_order_acquire)) {
        return base::ok();
    }
    return deliver_live(clock, after_each);
}

base::Status InputDoor::deliver_live(const Clock& clock, const std::function<void()>& after_each)
{
    std::deque<Live> batch;
    {
        const std::lock_guard lock{mutex_};
        batch.swap(live_);
        has_live_.store(false, std::memory_order_release);
    }
    for (Live& live : batch) {
        if (writer_) {
            InputEntry entry{{clock.instructions_now(), clock.now_ns()}, live.name, live.payload};
            if (auto written = writer_->append(entry); !written) {
                return written;
            }
        }
        live.sink->deliver(live.payload);
        after_each();
    }
    return base::ok();
}

base::Status InputDoor::deliver_replay(const Clock& clock, const std::function<void()>& after_each)
{
    while (const auto stamp = next_replay()) {
        if (stamp->instructions > clock.instructions_now() || stamp->ns > clock.now_ns()) {
            return base::ok();
        }
        if (stamp->instructions < clock.instructions_now() || stamp->ns < clock.now_ns()) {
            return base::fail(base::Errc::corrupt,
                              "the replay diverged: input recorded for instruction " +
                                  std::to_string(stamp->instructions) + " could not go in there");
        }
        const InputEntry& entry = replay_->entries[next_++];
        sinks_.find(entry.sink)->second->deliver(entry.payload);
        after_each();
    }
    return base::ok();
}

base::Status InputDoor::finish(u64 instructions)
{
    if (!writer_) {
        return base::ok();
    }
    auto finished = writer_->finish(instructions);
    writer_.reset();
    return finished;
}

} // namespace emu
