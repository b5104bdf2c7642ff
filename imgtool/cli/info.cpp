// imgtool info
#include "imgtool/cli/common.hpp"
#include "imgtool/cli/info_json.hpp"
#include "imgtool/cli/snapshot_list.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/further_files.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/node/node.hpp"
#include "imgtool/open.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sys/stat.h>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    bool chain = false;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 'b':
        request.chain = true;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 2>{{{"format", required_argument, nullptr, 'f'},
                                           {"backing-chain", no_argument, nullptr, 'b'}}});
    OptionReader reader{argc, argv, "hbf:U", kLong.data()};
    return read_options(reader, request, take) && take_one_operand(reader, request.path);
}

/// What reaches the bytes of a layer's own file: "file", "nbd".
std::string driver_below(const Layer& layer)
{
    const auto member = [](const node::Value& value, std::string_view key) {
        const auto found =
            std::ranges::find(value.members, key, &std::pair<std::string, node::Value>::first);
        return found != value.members.end() ? &found->second : nullptr;
    };
    if (layer.node != nullptr) {
        const node::Value* file = member(layer.node->full, "file");
        const node::Value* driver = file != nullptr ? member(*file, "driver") : nullptr;
        return driver != nullptr ? driver->text : "file";
    }
    struct stat st = {};
    const bool device = ::stat(layer.path.c_str(), &st) == 0 && !S_ISREG(st.st_mode);
    return device ? "host_device" : "file";
}

/// The files that an image is made of. A protocol that is looked at by itself has none.
std::vector<FileBelow> files_below(const Layer& layer)
{
    std::vector<FileBelow> files;
    if (layer.node != nullptr && layer.node->is_protocol) {
        return files;
    }
    const auto add = [&](std::string role, std::string driver, const ByteSource& file) {
        files.push_back({.role = std::move(role),
                         .driver = std::move(driver),
                         .name = file.name(),
                         .size = file.size(),
                         .allocated = file.allocated()});
    };
    add("file", driver_below(layer), layer.image->file());
    if (const auto* further = dynamic_cast<const FurtherFiles*>(layer.image.get())) {
        for (const auto& [role, file] : further->further_files()) {
            add(role, "file", *file);
        }
    }
    std::ranges::reverse(files); // as qemu-img has them
    return files;
}

Described describe_layer(Layer& layer)
{
    Described described{.path = layer.path,
                        .format = layer.format,
                        .info = layer.image->info(),
                        .allocated = layer.image->allocated(),
                        .files = files_below(layer),
                        .backing_path = {},
                        .has_dirty_flag = true};
    // Servers and the like have no such flag.
    described.has_dirty_flag = layer.origin.has_value() || described.info.cluster_size != 0;
    if (!described.info.backing_name.empty()) {
        described.backing_path =
            node::join_name(layer.origin, described.info.backing_name).value_or("");
    }
    return described;
}

/// What tells one image from another: its file, or its name where that is not one.
struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    std::string name;
    bool operator==(const Identity&) const = default;
};

Identity identify(const Layer& layer)
{
    struct stat st = {};
    if (layer.origin && ::stat(layer.origin->c_str(), &st) == 0) {
        return {st.st_dev, st.st_ino, ""};
    }
    return {0, 0, layer.path};
}

/// As open_chain() has it: what was found by probing a backing file does not choose nodes.
Status may_follow(const Layer& layer, bool named_by_user, const std::string& name)
{
    const bool guessed = layer.probed && layer.format != "raw" && !named_by_user;
    const bool plain = !node::has_protocol(name) || name.starts_with("file:");
    return guessed && !plain
               ? Status{base::fail(
                     base::Errc::unsupported,
                     fmt::format("backing file name '{}' is not a plain file name", name))}
               : base::ok();
}

/// Errors are whole messages.
Result<std::vector<Described>> describe(const Request& request)
{
    std::vector<Described> chain;
    std::vector<Identity> seen;
    std::string name = request.path;
    auto first = open_options(request.common, request.path, request.format);
    if (!first) {
        return std::move(first).error();
    }
    OpenOptions next = std::move(first).value();
    next.no_io = true;
    while (true) {
        auto layer = open_layer(next, OpenFor::use);
        if (!layer) {
            return std::move(layer).error().in(fmt::format("Could not open '{}'", name));
        }
        Identity identity = identify(layer.value());
        if (std::ranges::find(seen, identity) != seen.end()) {
            return base::fail(
                base::Errc::corrupt,
                fmt::format("Backing file '{}' creates an infinite loop.", layer.value().path));
        }
        seen.push_back(std::move(identity));
        chain.push_back(describe_layer(layer.value()));
        const Described& last = chain.back();
        if (!request.chain || last.info.backing_name.empty()) {
            return chain;
        }
        if (last.backing_path.empty()) {
            return base::fail(base::Errc::unsupported,
                              fmt::format("the actual path of the backing file '{}' cannot be "
                                          "determined",
                                          last.info.backing_name));
        }
        if (auto good = may_follow(layer.value(), chain.size() == 1, last.backing_path); !good) {
            return std::move(good).error();
        }
        name = last.backing_path;
        next.format = last.info.backing_format;
        if (auto used = node::use_name(next, name); !used) {
            return std::move(used).error().in(fmt::format("Could not open '{}'", name));
        }
    }
}

std::string human_key(std::string key)
{
    std::ranges::replace(key, '-', ' ');
    return key;
}

void print_properties(const std::vector<Property>& properties, int level)
{
    int index = 0;
    for (const Property& p : properties) {
        if (p.key == kDetachedHeader) {
            continue;
        }
        const bool nested = p.kind == Property::Kind::object || p.kind == Property::Kind::list;
        const std::string key = p.key.empty() ? fmt::format("[{}]", index++) : human_key(p.key);
        std::printf("%*s%s:%s%s\n", level * 4, "", key.c_str(), nested ? "" : " ",
                    nested ? "" : p.text.c_str());
        print_properties(p.members, level + 1);
    }
}

void print_human(const Described& d)
{
    const ImageInfo& info = d.info;
    const bool known = d.allocated != ByteSource::kUnknown;
    std::printf("image: %s\nfile format: %s\nvirtual size: %s (%llu bytes)\ndisk size: %s\n",
                d.path.c_str(), d.format.c_str(), size_text(info.size).c_str(),
                static_cast<unsigned long long>(info.size),
                known ? size_text(d.allocated).c_str() : "unavailable");
    if (info.encrypted) {
        std::printf("encrypted: yes\n");
    }
    if (info.cluster_size != 0) {
        std::printf("cluster_size: %llu\n", static_cast<unsigned long long>(info.cluster_size));
    }
    if (info.dirty) {
        std::printf("cleanly shut down: no\n");
    }
    if (!info.backing_name.empty()) {
        std::printf("backing file: %s", info.backing_name.c_str());
        if (d.backing_path.empty()) {
            std::printf(" (cannot determine actual path)");
        } else if (d.backing_path != info.backing_name) {
            std::printf(" (actual path: %s)", d.backing_path.c_str());
        }
        std::printf("\n");
        if (!info.backing_format.empty()) {
            std::printf("backing file format: %s\n", info.backing_format.c_str());
        }
    }
    if (!info.snapshots.empty()) {
        print_snapshot_list(info.snapshots);
    }
    if (!info.specific.empty()) {
        std::printf("Format specific information:\n");
        print_properties(info.specific, 1);
    }
}

} // namespace

int run_info(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    auto chain = describe(request);
    if (!chain) {
        return report(chain.error().message);
    }
    if (request.common.output == Output::human) {
        bool first = true;
        for (const Described& d : chain.value()) {
            std::fputs(first ? "" : "\n", stdout);
            first = false;
            print_human(d);
        }
        return kSuccess;
    }
    JsonWriter json;
    if (request.chain) {
        json.begin_array();
    }
    for (const Described& d : chain.value()) {
        write_info(json, d);
    }
    if (request.chain) {
        json.end_array();
    }
    std::printf("%s\n", json.text().c_str());
    return kSuccess;
}

} // namespace img::cli
