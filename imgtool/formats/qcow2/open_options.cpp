#include "imgtool/formats/qcow2/open_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <optional>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using Type = CreateOption::Type;

// Names and meanings: QEMU's documentation, "Driver-specific options for qcow2".
constexpr std::array kOptions{
    CreateOption{"lazy-refcounts", Type::boolean, "Postpone refcount updates"},
    CreateOption{"pass-discard-request", Type::boolean,
                 "Pass guest discard requests to the layer below"},
    CreateOption{"pass-discard-snapshot", Type::boolean,
                 "Generate discard requests when snapshot related space is freed"},
    CreateOption{"pass-discard-other", Type::boolean,
                 "Generate discard requests when other clusters are freed"},
    CreateOption{"overlap-check", Type::text,
                 "Selects which overlap checks to perform (none, constant, cached, all)"},
    CreateOption{"overlap-check.template", Type::text,
                 "Selects which overlap checks to perform (none, constant, cached, all)"},
    CreateOption{"overlap-check.main-header", Type::boolean, "Check for overlaps with the header"},
    CreateOption{"overlap-check.active-l1", Type::boolean, "... with the active L1 table"},
    CreateOption{"overlap-check.active-l2", Type::boolean, "... with an active L2 table"},
    CreateOption{"overlap-check.refcount-table", Type::boolean, "... with the refcount table"},
    CreateOption{"overlap-check.refcount-block", Type::boolean, "... with a refcount block"},
    CreateOption{"overlap-check.snapshot-table", Type::boolean, "... with the snapshot table"},
    CreateOption{"overlap-check.inactive-l1", Type::boolean, "... with an inactive L1 table"},
    CreateOption{"overlap-check.inactive-l2", Type::boolean, "... with an inactive L2 table"},
    CreateOption{"overlap-check.bitmap-directory", Type::boolean, "... with the bitmap directory"},
    CreateOption{"cache-size", Type::size, "Maximum combined metadata cache size"},
    CreateOption{"l2-cache-size", Type::size, "Maximum L2 table cache size"},
    CreateOption{"l2-cache-entry-size", Type::size, "Size of each entry in the L2 cache"},
    CreateOption{"refcount-cache-size", Type::size, "Maximum refcount block cache size"},
    CreateOption{"cache-clean-interval", Type::number,
                 "Clean unused cache entries after this time (in seconds)"},
    CreateOption{"encrypt.format", Type::text, "Encrypt the image, format choices: 'aes', 'luks'"},
    CreateOption{"encrypt.key-secret", Type::text,
                 "ID of secret providing qcow2 AES key or LUKS passphrase"},
};

std::optional<std::string> find(const CreateSettings& options, std::string_view name)
{
    for (const auto& [key, value] : options) {
        if (key == name) {
            return value;
        }
    }
    return std::nullopt;
}

std::optional<u64> find_number(const CreateSettings& options, std::string_view name)
{
    const auto value = find(options, name);
    return value ? std::optional<u64>{std::strtoull(value->c_str(), nullptr, 10)} : std::nullopt;
}

base::Error refuse(std::string message)
{
    return fail(Errc::invalid_argument, std::move(message));
}

Status check_overlap(const CreateSettings& options)
{
    static constexpr std::array<std::string_view, 4> kTemplates{"none", "constant", "cached",
                                                                "all"};
    const auto plain = find(options, "overlap-check");
    const auto nested = find(options, "overlap-check.template");
    if (plain && nested && *plain != *nested) {
        return refuse(fmt::format("Conflicting values for qcow2 options 'overlap-check' ('{}') and "
                                  "'overlap-check.template' ('{}')",
                                  *plain, *nested));
    }
    for (const auto& value : {plain, nested}) {
        if (value && std::ranges::find(kTemplates, *value) == kTemplates.end()) {
            return refuse(fmt::format("Unsupported value '{}' for qcow2 option 'overlap-check'. "
                                      "Allowed are any of the following: none, constant, cached, "
                                      "all",
                                      *value));
        }
    }
    return base::ok();
}

Status check_caches(const CreateSettings& options, u64 cluster_size)
{
    const auto all = find_number(options, "cache-size");
    const auto tables = find_number(options, "l2-cache-size");
    const auto refcounts = find_number(options, "refcount-cache-size");
    if (all && tables && refcounts) {
        return refuse("cache-size, l2-cache-size and refcount-cache-size may not be set at the "
                      "same time");
    }
    if (all && tables && *tables > *all) {
        return refuse("l2-cache-size may not exceed cache-size");
    }
    if (all && refcounts && *refcounts > *all) {
        return refuse("refcount-cache-size may not exceed cache-size");
    }
    const u64 entry = find_number(options, "l2-cache-entry-size").value_or(cluster_size);
    if (entry < 512 || entry > cluster_size || !std::has_single_bit(entry)) {
        return refuse(fmt::format("L2 cache entry size must be a power of two between 512 and the "
                                  "cluster size ({})",
                                  cluster_size));
    }
    if (find_number(options, "cache-clean-interval").value_or(0) > UINT32_MAX) {
        return refuse("Cache clean interval too big");
    }
    return base::ok();
}

} // namespace

const std::span<const CreateOption> kOpenOptions{kOptions};

Status check_open_options(const CreateSettings& options, u64 cluster_size)
{
    if (options.empty()) {
        return base::ok();
    }
    if (auto good = check_overlap(options); !good) {
        return good;
    }
    return check_caches(options, cluster_size);
}

} // namespace img::qcow2
