#include "imgtool/source/fault.hpp"

#include "imgtool/node/node.hpp"

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

/// Events that can be told from accesses. "none" stands for no event: the rule always counts.
constexpr std::array kEvents{
    Word<std::optional<Access>>{"none", std::nullopt},
    Word<std::optional<Access>>{"read_aio", Access::read},
    Word<std::optional<Access>>{"write_aio", Access::write},
    Word<std::optional<Access>>{"flush_to_os", Access::flush},
    Word<std::optional<Access>>{"flush_to_disk", Access::flush},
};
constexpr std::array kAccesses{
    Word<Access>{"read", Access::read},         Word<Access>{"write", Access::write},
    Word<Access>{"write-zeroes", Access::zero}, Word<Access>{"discard", Access::discard},
    Word<Access>{"flush", Access::flush},       Word<Access>{"block-status", Access::status},
};

/// Limits that QEMU puts on requests. Ours need no alignment and no splitting.
constexpr std::array<std::string_view, 6> kLimits{
    "align", "max-transfer", "opt-write-zero", "max-write-zero", "opt-discard", "max-discard"};

Result<std::optional<Access>> take_event(node::Options& rule)
{
    const std::string event = rule.take("event").value_or("");
    for (const auto& word : kEvents) {
        if (word.text == event) {
            return word.value;
        }
    }
    return fail(Errc::unsupported, fmt::format("blkdebug's event '{}' is not supported", event));
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
    if (options.take("config").value_or("") != "") {
        return fail(Errc::unsupported, "blkdebug's configuration files are not supported");
    }
    for (const std::string_view name : kLimits) {
        if (auto limit = node::take_size(options, name); !limit) {
            return std::move(limit).error();
        }
    }
    for (node::Options& rule : options.take_list("inject-error")) {
        auto injection = take_injection(std::move(rule));
        if (!injection) {
            return std::move(injection).error();
        }
        faults.injections_.push_back(std::move(injection).value());
    }
    for (node::Options& rule : options.take_list("set-state")) {
        auto change = take_change(std::move(rule));
        if (!change) {
            return std::move(change).error();
        }
        faults.changes_.push_back(change.value());
    }
    return faults;
}

bool Faults::hits(const Injection& rule, Access access, u64 offset, u64 length)
{
    const bool right_access = rule.access ? *rule.access == access : access != Access::status;
    return right_access &&
           (!rule.offset || (*rule.offset >= offset && *rule.offset - offset < length));
}

void Faults::happen(Access event)
{
    const u32 state = state_;
    for (Injection& rule : injections_) {
        rule.active |= rule.event == event && (rule.in_state == 0 || rule.in_state == state);
    }
    for (const Change& change : changes_) {
        if (change.event == event && (change.in_state == 0 || change.in_state == state)) {
            state_ = change.to;
        }
    }
}

Status Faults::check(Access access, u64 offset, u64 length)
{
    happen(access);
    for (auto rule = injections_.begin(); rule != injections_.end(); ++rule) {
        const bool counts =
            rule->event ? rule->active : rule->in_state == 0 || rule->in_state == state_;
        if (counts && hits(*rule, access, offset, length)) {
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
        if (rule.offset && *rule.offset > offset && hits(rule, access, offset, length)) {
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
