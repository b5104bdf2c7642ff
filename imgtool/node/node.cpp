#include "imgtool/node/node.hpp"

#include "imgtool/chain/disk_source.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/node/protocols.hpp"
#include "imgtool/ops/create.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::node {

namespace {

using base::Errc;
using base::fail;

constexpr int kMaxDepth = 32; // nodes above one another

/// Takes an option of a type and checks it.
Result<std::optional<std::string>> take_checked(Options& options, std::string_view name,
                                                CreateOption::Type type)
{
    const auto value = options.take(name);
    if (!value) {
        return std::optional<std::string>{};
    }
    auto checked = check_value(CreateOption{name, type, ""}, *value);
    if (!checked) {
        return std::move(checked).error();
    }
    return std::optional{std::move(checked).value()};
}

Result<std::optional<u64>> take_u64(Options& options, std::string_view name,
                                    CreateOption::Type type)
{
    auto checked = take_checked(options, name, type);
    if (!checked) {
        return std::move(checked).error();
    }
    return checked.value() ? std::optional<u64>{std::stoull(*checked.value())} : std::nullopt;
}

/// Names of nodes (QEMU's documentation, "Block device options": node-name).
Status check_node_name(const std::string& name)
{
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    const auto other = [&letter](char c) {
        return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    };
    if (name.empty() || !letter(name[0]) || !std::ranges::all_of(name, other)) {
        return fail(Errc::invalid_argument, fmt::format("Invalid node-name: '{}'", name));
    }
    if (name.size() > 31) {
        return fail(Errc::invalid_argument, "Node name too long");
    }
    return base::ok();
}

/// How discarded and zero blocks are treated: checked, and left to what we do anyway.
Status take_discard(Options& options)
{
    const auto discard = options.take("discard");
    static constexpr std::array<std::string_view, 4> kDiscard{"ignore", "off", "unmap", "on"};
    if (discard && std::ranges::find(kDiscard, *discard) == kDiscard.end()) {
        return fail(Errc::invalid_argument, "Invalid discard option");
    }
    const auto detect = options.take("detect-zeroes");
    static constexpr std::array<std::string_view, 3> kDetect{"off", "on", "unmap"};
    if (detect && std::ranges::find(kDetect, *detect) == kDetect.end()) {
        return fail(Errc::invalid_argument, "invalid parameter value: " + *detect);
    }
    if (detect == "unmap" && discard != "unmap" && discard != "on") {
        return fail(Errc::invalid_argument,
                    "setting detect-zeroes to unmap is not allowed without setting discard "
                    "operation to unmap");
    }
    return base::ok();
}

/// The disk in an image as bytes.
Result<OpenedSource> open_nested(Options options, std::string driver, const How& how)
{
    OpenOptions inner = how.options;
    options.set("driver", std::move(driver));
    inner.node = std::make_shared<const Options>(std::move(options));
    inner.format.clear();
    inner.format_options.clear();
    inner.read_only = how.read_only;
    inner.share = how.share;
    inner.unsafe = how.unsafe;
    inner.node_depth = how.depth;
    auto chain = open_chain(inner);
    if (!chain) {
        return std::move(chain).error();
    }
    const Layer& top = chain.value()->layers().front();
    OpenedSource opened;
    opened.name.origin = top.origin;
    opened.name.full = top.node->full;
    opened.file = std::make_unique<DiskSource>(std::move(chain).value());
    return opened;
}

} // namespace

Result<std::optional<bool>> take_boolean(Options& options, std::string_view name)
{
    auto checked = take_checked(options, name, CreateOption::Type::boolean);
    if (!checked) {
        return std::move(checked).error();
    }
    return checked.value() ? std::optional<bool>{*checked.value() == "on"} : std::nullopt;
}

Result<std::optional<u64>> take_size(Options& options, std::string_view name)
{
    return take_u64(options, name, CreateOption::Type::size);
}

Result<std::optional<u64>> take_number(Options& options, std::string_view name)
{
    return take_u64(options, name, CreateOption::Type::number);
}

Status take_common(Options& options, How& how)
{
    if (const auto name = options.take("node-name")) {
        if (auto good = check_node_name(*name); !good) {
            return good;
        }
    }
    const auto take = [&options](std::string_view name, bool& into) -> Status {
        auto value = take_boolean(options, name);
        if (!value) {
            return std::move(value).error();
        }
        into = value.value().value_or(into);
        return base::ok();
    };
    bool read_only = false;
    bool ignored = false; // what makes no difference to us
    struct {
        std::string_view name;
        bool& into;
    } const flags[] = {{"read-only", read_only},
                       {"auto-read-only", ignored},
                       {"cache.direct", how.direct},
                       {"cache.no-flush", how.unsafe},
                       {"force-share", how.share}};
    for (const auto& [name, into] : flags) {
        if (auto done = take(name, into); !done) {
            return done;
        }
    }
    how.read_only |= read_only;
    if (how.share && !how.read_only) {
        return fail(Errc::invalid_argument,
                    "force-share=on can only be used with read-only images");
    }
    return take_discard(options);
}

Status refuse_unknown(const Options& left, std::string_view driver, bool is_protocol)
{
    if (left.empty()) {
        return base::ok();
    }
    return fail(Errc::invalid_argument,
                is_protocol ? fmt::format("Block protocol '{}' doesn't support the option '{}'",
                                          driver, left.first_key())
                            : fmt::format("Block format '{}' does not support the option '{}'",
                                          driver, left.first_key()));
}

Result<OpenedSource> open_source(Options options, How how)
{
    if (++how.depth > kMaxDepth) {
        return fail(Errc::invalid_argument, "block nodes are nested too deeply");
    }
    std::string driver = options.take("driver").value_or("");
    if (driver.empty() && !options.has("filename")) {
        return fail(Errc::invalid_argument, "Must specify either driver or file");
    }
    driver = driver.empty() ? "file" : driver;
    const Protocol* protocol = find_protocol(driver);
    if (protocol == nullptr) {
        return find_format(driver) != nullptr
                   ? open_nested(std::move(options), std::move(driver), how)
                   : Result<OpenedSource>{unknown_driver(driver)};
    }
    if (auto done = take_common(options, how); !done) {
        return std::move(done).error();
    }
    auto opened = protocol->open(options, how);
    if (!opened) {
        return opened;
    }
    if (auto known = refuse_unknown(options, driver, protocol->says_protocol); !known) {
        return std::move(known).error();
    }
    opened.value().name.full.add("driver", Value::of_text(driver));
    return opened;
}

} // namespace img::node
