// Adding and erasing passphrases of LUKS volumes, with the checks and words of qemu-img amend.
#include "imgtool/crypto/luks_slots.hpp"

#include "imgtool/crypto/passphrase.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace img::crypto {

namespace {

using base::Errc;
using base::fail;
using luks::Header;

base::Error bad(std::string message)
{
    return fail(Errc::invalid_argument, std::move(message));
}

/// What is asked for.
struct Change {
    std::string state;
    std::string new_secret;
    std::string old_secret;
    std::optional<u64> slot;
    std::optional<u64> iter_time_ms;
};

Result<Change> parse(const CreateSettings& settings, std::string_view prefix)
{
    const auto value = [&](std::string_view name) {
        return value_of(settings, std::string{prefix} + std::string{name});
    };
    const auto number = [&](std::string_view name) {
        const std::string text = value(name);
        return text.empty() ? std::nullopt
                            : std::optional<u64>{std::strtoull(text.c_str(), nullptr, 10)};
    };
    Change c{.state = value("state"),
             .new_secret = value("new-secret"),
             .old_secret = value("old-secret"),
             .slot = number("keyslot"),
             .iter_time_ms = number("iter-time")};
    if (c.state.empty()) {
        return bad("Parameter 'state' is missing");
    }
    if (c.state != "active" && c.state != "inactive") {
        return bad(fmt::format("Parameter 'state' does not accept value '{}'", c.state));
    }
    return c;
}

Status check_slot(const Change& change)
{
    if (change.slot && *change.slot >= luks::kSlots) {
        return bad(fmt::format("Invalid keyslot {} specified, must be between 0 and {}",
                               static_cast<u32>(*change.slot), luks::kSlots - 1));
    }
    return base::ok();
}

Result<std::size_t> slot_to_fill(const Header& header, const Change& change, bool force)
{
    if (auto good = check_slot(change); !good) {
        return std::move(good).error();
    }
    if (change.slot) {
        if (header.slots[*change.slot].active && !force) {
            return bad(fmt::format(
                "Refusing to overwrite active keyslot {} - please erase it first", *change.slot));
        }
        return std::size_t{*change.slot};
    }
    const auto* free = std::ranges::find(header.slots, false, &luks::Slot::active);
    if (free == header.slots.end()) {
        return bad("Can't add a keyslot - all keyslots are in use");
    }
    return static_cast<std::size_t>(free - header.slots.begin());
}

Status add(const LuksPlace& place, Header& header, std::span<const u8> key, const Change& change,
           const Secrets* secrets, bool force)
{
    if (change.new_secret.empty()) {
        return bad("'new-secret' is required to activate a keyslot");
    }
    if (!change.old_secret.empty()) {
        return bad("'old-secret' must not be given when activating keyslots");
    }
    auto slot = slot_to_fill(header, change, force);
    if (!slot) {
        return std::move(slot).error();
    }
    if (key.empty()) {
        return bad("Failed to retrieve the secret: the image was opened without its passphrase");
    }
    auto passphrase = find_passphrase(secrets, change.new_secret, "new-secret");
    if (!passphrase) {
        return std::move(passphrase).error();
    }
    const u64 iter_time = change.iter_time_ms.value_or(LuksParameters{}.iter_time_ms);
    const auto* spare = std::ranges::find(header.slots, false, &luks::Slot::active);
    const auto spare_index = static_cast<std::size_t>(spare - header.slots.begin());
    if (!header.slots[slot.value()].active || spare == header.slots.end()) {
        return luks::fill_slot(place, header, slot.value(), key, passphrase.value(), iter_time);
    }
    // A slot in use: interrupted in the middle, it would take neither passphrase. So another one
    // has the new one meanwhile.
    if (auto done = luks::fill_slot(place, header, spare_index, key, passphrase.value(), iter_time);
        !done) {
        return done;
    }
    if (auto done =
            luks::fill_slot(place, header, slot.value(), key, passphrase.value(), iter_time);
        !done) {
        return done;
    }
    return luks::erase_slot(place, header, spare_index);
}

std::size_t count_active(const Header& header)
{
    return static_cast<std::size_t>(std::ranges::count(header.slots, true, &luks::Slot::active));
}

Status erase_one(const LuksPlace& place, Header& header, std::size_t index,
                 const std::optional<std::string>& old_passphrase, bool force)
{
    if (old_passphrase) {
        auto key = luks::open_slot(place, header, index, *old_passphrase);
        if (!key) {
            return std::move(key).error();
        }
        if (key.value().empty()) {
            return bad(fmt::format("Given keyslot {} doesn't contain the given old password for "
                                   "erase operation",
                                   index));
        }
    }
    const bool active = header.slots[index].active;
    if (!force && !active) {
        return bad(fmt::format("Given keyslot {} is already erased (inactive) ", index));
    }
    if (!force && count_active(header) == 1) {
        return bad(fmt::format("Attempt to erase the only active keyslot {} which will erase all "
                               "the data in the image irreversibly - refusing operation",
                               index));
    }
    return luks::erase_slot(place, header, index);
}

Status erase_matching(const LuksPlace& place, Header& header, const std::string& old_passphrase,
                      bool force)
{
    std::vector<std::size_t> matching;
    for (std::size_t i = 0; i < luks::kSlots; ++i) {
        auto key = luks::open_slot(place, header, i, old_passphrase);
        if (!key) {
            return std::move(key).error();
        }
        if (!key.value().empty()) {
            matching.push_back(i);
        }
    }
    if (matching.empty()) {
        return bad("No keyslots match given (old) password for erase operation");
    }
    if (!force && matching.size() == count_active(header)) {
        return bad("All the active keyslots match the (old) password that was given and erasing "
                   "them will erase all the data in the image irreversibly - refusing operation");
    }
    for (const std::size_t i : matching) {
        if (auto erased = luks::erase_slot(place, header, i); !erased) {
            return erased;
        }
    }
    return base::ok();
}

Status erase(const LuksPlace& place, Header& header, const Change& change, const Secrets* secrets,
             bool force)
{
    if (!change.new_secret.empty()) {
        return bad("'new-secret' must not be given when erasing keyslots");
    }
    if (change.iter_time_ms) {
        return bad("'iter-time' must not be given when erasing keyslots");
    }
    std::optional<std::string> old_passphrase;
    if (!change.old_secret.empty()) {
        auto found = find_passphrase(secrets, change.old_secret, "old-secret");
        if (!found) {
            return std::move(found).error();
        }
        old_passphrase = std::move(found).value();
    }
    if (auto good = check_slot(change); !good) {
        return good;
    }
    if (change.slot) {
        return erase_one(place, header, *change.slot, old_passphrase, force);
    }
    if (old_passphrase) {
        return erase_matching(place, header, *old_passphrase, force);
    }
    return bad("To erase keyslot(s), either explicit keyslot index or the password currently "
               "contained in them must be given");
}

} // namespace

Status amend_luks(const LuksPlace& place, Header& header, std::span<const u8> key,
                  const CreateSettings& settings, std::string_view prefix, const Secrets* secrets,
                  bool force)
{
    auto change = parse(settings, prefix);
    if (!change) {
        return std::move(change).error();
    }
    return change.value().state == "active"
               ? add(place, header, key, change.value(), secrets, force)
               : erase(place, header, change.value(), secrets, force);
}

} // namespace img::crypto
