#include "imgtool/node/name.hpp"

#include "imgtool/node/node.hpp"

#include <fmt/format.h>

namespace img::node {

namespace {

using base::Errc;
using base::fail;

constexpr std::string_view kFile = "file:";

/// What is left of "file:image:a" must not look like a protocol "image".
std::string without_prefix(const std::string& name)
{
    std::string path = name.substr(kFile.size());
    return has_protocol(path) ? "./" + path : path;
}

} // namespace

Status use_name(OpenOptions& options, const std::string& name)
{
    options.node = nullptr;
    options.path = name;
    if (!has_protocol(name)) {
        return base::ok();
    }
    if (name.starts_with(kFile)) {
        options.path = without_prefix(name);
        return base::ok();
    }
    auto parsed = parse_name(name);
    if (!parsed) {
        return std::move(parsed).error();
    }
    options.node = std::make_shared<const Options>(std::move(parsed).value());
    return base::ok();
}

Status use_image_opts(OpenOptions& options, const std::string& text)
{
    options.path = text;
    auto parsed = parse_image_opts(text);
    if (!parsed) {
        return std::move(parsed).error();
    }
    options.node = std::make_shared<const Options>(std::move(parsed).value());
    return base::ok();
}

Status use_layer(OpenOptions& options, const Layer& layer)
{
    if (layer.node != nullptr) {
        return use_name(options, layer.path);
    }
    options.node = nullptr;
    options.path = layer.path;
    return base::ok();
}

Result<std::string> plain_path(const std::string& name)
{
    if (!has_protocol(name)) {
        return name;
    }
    if (name.starts_with(kFile)) {
        return without_prefix(name);
    }
    if (name.starts_with("json:")) {
        return fail(Errc::unsupported, "Unknown protocol 'json'");
    }
    if (auto parsed = parse_name(name); !parsed) {
        return std::move(parsed).error();
    }
    return fail(Errc::unsupported,
                fmt::format("Protocol driver '{}' does not support image creation",
                            name.substr(0, name.find_first_of(":+"))));
}

std::optional<std::string> join_name(const std::optional<std::string>& origin,
                                     const std::string& name)
{
    if (name.starts_with('/') || has_protocol(name)) {
        return name;
    }
    if (!origin) {
        return std::nullopt;
    }
    const std::size_t slash = origin->rfind('/');
    return slash == std::string::npos ? name : origin->substr(0, slash + 1) + name;
}

} // namespace img::node
