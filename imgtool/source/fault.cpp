#include "imgtool/source/fault.hpp"

#include "imgtool/node/node.hpp"
#include "imgtool/source/fault_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace img {

namespace {

using base::Errc;
using base::fail;
using Access = Faults::Access;

constexpr u64 kSector = 512; // bytes; rules count in them

template <class T>
struct Word {
    std::string_view text;
    T value;
};

constexpr std::array kEvents{
    Word<DebugEvent>{"none", DebugEvent::opened},
    Word<DebugEvent>{"read_aio", DebugEvent::read_data},
    Word<DebugEvent>{"read_compressed", DebugEvent::read_compressed},
    Word<DebugEvent>{"write_aio", DebugEvent::write_data},
    Word<DebugEvent>{"write_compressed", DebugEvent::write_compressed},
    Word<DebugEvent>{"cow_read", DebugEvent::cow_read},
    Word<DebugEvent>{"cow_write", DebugEvent::cow_write},
    Word<DebugEvent>{"flush_to_os", DebugEvent::flush_to_os},
    Word<DebugEvent>{"flush_to_disk", DebugEvent::flush_to_disk},
    Word<DebugEvent>{"l1_update", DebugEvent::l1_update},
    Word<DebugEvent>{"l1_grow_write_table", DebugEvent::l1_grow_write_table},
    Word<DebugEvent>{"l1_grow_activate_table", DebugEvent::l1_grow_activate_table},
    Word<DebugEvent>{"l2_load", DebugEvent::l2_load},
    Word<DebugEvent>{"l2_update", DebugEvent::l2_update},
    Word<DebugEvent>{"l2_alloc_write", DebugEvent::l2_alloc_write},
    Word<DebugEvent>{"reftable_load", DebugEvent::reftable_load},
    Word<DebugEvent>{"reftable_grow", DebugEvent::reftable_grow},
    Word<DebugEvent>{"reftable_update", DebugEvent::reftable_update},
    Word<DebugEvent>{"refblock_load", DebugEvent::refblock_load},
    Word<DebugEvent>{"refblock_update_part", DebugEvent::refblock_update_part},
    Word<DebugEvent>{"refblock_alloc", DebugEvent::refblock_alloc},
    Word<DebugEvent>{"cluster_alloc", DebugEvent::cluster_alloc},
    Word<DebugEvent>{"cluster_free", DebugEvent::cluster_free},
    Word<DebugEvent>{"empty_image_prepare", DebugEvent::empty_image_prepare},
};
constexpr std::array kAccesses{
    Word<Access>{"read", Access::read},         Word<Access>{"write", Access::write},
    Word<Access>{"write-zeroes", Access::zero}, Word<Access>{"discard", Access::discard},
    Word<Access>{"flush", Access::flush},       Word<Access>{"block-status", Access::status},
};

/// Limits that QEMU puts on requests. Ours need no alignment and no splitting.
constexpr std::array<std::string_view, 6> kLimits{
    "align", "max-transfer", "opt-write-zero", "max-write-zero", "opt-discard", "max-discard"};

Result<DebugEvent> take_event(node::Options& rule)
{
    const auto event = rule.take("event");
    if (!event) {
        return fail(Errc::invalid_argument, "Missing event name for rule");
    }
    const auto word = std::ranges::find(kEvents, *event, &Word<DebugEvent>::text);
    if (word == kEvents.end()) {
        return fail(Errc::unsupported,
                    fmt::format("blkdebug's event '{}' is not supported", *event));
    }
    return word->value;
}

Result<u32> take_u32(node::Options& rule, std::string_view name, u32 preset)
{
    auto value = node::take_number(rule, name);
    if (!value) {
        return std::move(value).error();
    }
    const u64 number = value.value().value_or(preset);
    if (number > INT32_MAX) {
        return fail(Errc::invalid_argument, fmt::format("blkdebug: {} is too large", name));
    }
    return static_cast<u32>(number);
}

} // namespace

Result<Faults::Injection> Faults::take_injection(node::Options rule)
{
    auto event = take_event(rule);
    auto state = take_u32(rule, "state", 0);
    auto error = take_u32(rule, "errno", EIO);
    auto once = node::take_boolean(rule, "once");
    auto immediately = node::take_boolean(rule, "immediately");
    auto sector = node::take_number(rule, "sector");
    for (const base::Error* wrong :
         {event ? nullptr : &event.error(), state ? nullptr : &state.error(),
          error ? nullptr : &error.error(), once ? nullptr : &once.error(),
          immediately ? nullptr : &immediately.error(), sector ? nullptr : &sector.error()}) {
        if (wrong != nullptr) {
            return *wrong;
        }
    }
    Injection injection{.event = event.value(),
                        .in_state = state.value(),
                        .access = std::nullopt,
                        .error = static_cast<int>(error.value()),
                        .offset = std::nullopt,
                        .once = once.value().value_or(false)};
    if (sector.value() && *sector.value() <= INT64_MAX / kSector) {
        injection.offset = *sector.value() * kSector;
    }
    if (const auto iotype = rule.take("iotype")) {
        const auto word = std::ranges::find(kAccesses, *iotype, &Word<Access>::text);
        if (word == kAccesses.end()) {
            return fail(Errc::invalid_argument, "invalid parameter value: " + *iotype);
        }
        injection.access = word->value;
    }
    if (auto known = node::refuse_unknown(rule, "blkdebug", true); !known) {
        return std::move(known).error();
    }
    return injection;
}

Result<Faults::Change> Faults::take_change(node::Options rule)
{
    auto event = take_event(rule);
    if (!event) {
        return std::move(event).error();
    }
    auto state = take_u32(rule, "state", 0);
    auto to = take_u32(rule, "new_state", 0);
    if (!state || !to) {
        return state ? std::move(to).error() : std::move(state).error();
    }
    if (auto known = node::refuse_unknown(rule, "blkdebug", true); !known) {
        return std::move(known).error();
    }
    return Change{event.value(), state.value(), to.value()};
}

Result<Faults> Faults::take(node::Options& options)
{
    Faults faults;
    if (const std::string config = options.take("config").value_or(""); !config.empty()) {
        auto rules = read_fault_config(config);
        auto added = rules ? faults.add(rules.value()) : Status{std::move(rules).error()};
        if (!added) {
            return std::move(added).error();
        }
    }
    for (const std::string_view name : kLimits) {
        if (auto limit = node::take_size(options, name); !limit) {
            return std::move(limit).error();
        }
    }
    if (auto added = faults.add(options); !added) {
        return std::move(added).error();
    }
    faults.happen(DebugEvent::opened);
    return faults;
}

/// Takes the rules out of `rules`.
Status Faults::add(node::Options& rules)
{
    for (node::Options& rule : rules.take_list("inject-error")) {
        auto injection = take_injection(std::move(rule));
        if (!injection) {
            return std::move(injection).error();
        }
        injections_.push_back(std::move(injection).value());
    }
    for (node::Options& rule : rules.take_list("set-state")) {
        auto change = take_change(std::move(rule));
        if (!change) {
            return std::move(change).error();
        }
        changes_.push_back(change.value());
    }
    return base::ok();
}

bool Faults::hits(const Injection& rule, Access access, u64 offset, u64 length)
{
    const bool right_access = rule.access ? *rule.access == access : access != Access::status;
    return right_access &&
           (!rule.offset || (*rule.offset >= offset && *rule.offset - offset < length));
}

void Faults::happen(DebugEvent event)
{
    const u32 state = state_;
    const auto now = [&](const auto& rule) {
        return rule.event == event && (rule.in_state == 0 || rule.in_state == state);
    };
    if (std::ranges::any_of(injections_, now)) {
        for (Injection& rule : injections_) {
            rule.active = now(rule);
        }
    }
    for (const Change& change : changes_) {
        state_ = now(change) ? change.to : state_;
    }
}

Status Faults::check(Access access, u64 offset, u64 length)
{
    for (auto rule = injections_.begin(); rule != injections_.end(); ++rule) {
        if (rule->active && hits(*rule, access, offset, length)) {
            const int error = rule->error;
            if (rule->once) {
                injections_.erase(rule);
            }
            return fail(Errc::io, std::strerror(error));
        }
    }
    return base::ok();
}

u64 Faults::good_before(Access access, u64 offset, u64 length) const
{
    for (const Injection& rule : injections_) {
        if (rule.active && rule.offset && *rule.offset > offset &&
            hits(rule, access, offset, length)) {
            length = *rule.offset - offset;
        }
    }
    return length;
}

Status FaultSource::read(FileOffset at, std::span<u8> into)
{
    auto good = faults_.check(Access::read, at.bytes, into.size());
    return good ? file_->read(at, into) : good;
}

Status FaultSource::write(FileOffset at, std::span<const u8> from)
{
    auto good = faults_.check(Access::write, at.bytes, from.size());
    return good ? file_->write(at, from) : good;
}

Status FaultSource::zero(FileOffset at, u64 length)
{
    auto good = faults_.check(Access::zero, at.bytes, length);
    return good ? file_->zero(at, length) : good;
}

Status FaultSource::flush()
{
    announce(DebugEvent::flush_to_os);
    announce(DebugEvent::flush_to_disk);
    auto good = faults_.check(Access::flush, 0, 0);
    return good ? file_->flush() : good;
}

Result<ByteSource::Run> FaultSource::run_at(FileOffset at)
{
    auto run = file_->run_at(at);
    if (!run) {
        return run;
    }
    const u64 n = faults_.good_before(Access::status, at.bytes, run.value().length);
    if (auto good = faults_.check(Access::status, at.bytes, n); !good) {
        return std::move(good).error();
    }
    return Run{.data = run.value().data, .length = n};
}

} // namespace img
