// imgtool info
#include "imgtool/cli/common.hpp"
#include "imgtool/cli/snapshot_list.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/node/name.hpp"
#include "imgtool/node/options.hpp"
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

/// One image with what is printed of it.
struct Described {
    std::string path;
    std::string format;
    ImageInfo info;
    u64 allocated;            // bytes of host storage, or ByteSource::kUnknown
    std::string backing_path; // where the backing name leads; empty when none
    bool has_dirty_flag;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case kOptBackingChain:
        request.chain = true;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong = with_common(
        std::array<option, 2>{{{"format", required_argument, nullptr, 'f'},
                               {"backing-chain", no_argument, nullptr, kOptBackingChain}}});
    OptionReader reader{argc, argv, "hf:U", kLong.data()};
    return read_options(reader, request, take) && take_one_operand(reader, request.path);
}

Described describe_layer(Layer& layer)
{
    Described described{.path = layer.path,
                        .format = layer.format,
                        .info = layer.image->info(),
                        .allocated = layer.image->allocated(),
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

void write_snapshots(JsonWriter& json, const std::vector<SnapshotInfo>& snapshots)
{
    json.key("snapshots");
    json.begin_array();
    for (const SnapshotInfo& s : snapshots) {
        json.begin_object();
        if (s.icount) {
            json.key("icount");
            json.value(*s.icount);
        }
        json.key("vm-clock-nsec");
        json.value(s.vm_clock_ns % 1'000'000'000);
        json.key("name");
        json.value(s.name);
        json.key("date-sec");
        json.value(s.date_s);
        json.key("date-nsec");
        json.value(s.date_ns);
        json.key("vm-clock-sec");
        json.value(s.vm_clock_ns / 1'000'000'000);
        json.key("id");
        json.value(s.id);
        json.key("vm-state-size");
        json.value(s.vm_state_size);
        json.end_object();
    }
    json.end_array();
}

void write_property(JsonWriter& json, const Property& p)
{
    if (!p.key.empty()) {
        json.key(p.key);
    }
    switch (p.kind) {
    case Property::Kind::string:
        json.value(p.text);
        return;
    case Property::Kind::number:
    case Property::Kind::boolean:
        json.raw(p.text);
        return;
    case Property::Kind::object:
        json.begin_object();
        break;
    case Property::Kind::list:
        json.begin_array();
        break;
    }
    for (const Property& member : p.members) {
        write_property(json, member);
    }
    if (p.kind == Property::Kind::object) {
        json.end_object();
    } else {
        json.end_array();
    }
}

void write_specific(JsonWriter& json, const ImageInfo& info)
{
    json.key("format-specific");
    json.begin_object();
    json.key("type");
    json.value(info.format);
    json.key("data");
    json.begin_object();
    for (const Property& p : info.specific) {
        write_property(json, p);
    }
    json.end_object();
    json.end_object();
}

/// The members are in qemu-img's order, which people's scripts may have come to rely on.
void write_json(JsonWriter& json, const Described& d)
{
    const ImageInfo& info = d.info;
    json.begin_object();
    if (!info.snapshots.empty()) {
        write_snapshots(json, info.snapshots);
    }
    if (!info.backing_format.empty() && !info.backing_name.empty()) {
        json.key("backing-filename-format");
        json.value(info.backing_format);
    }
    json.key("virtual-size");
    json.value(info.size);
    json.key("filename");
    json.value(d.path);
    if (info.cluster_size != 0) {
        json.key("cluster-size");
        json.value(info.cluster_size);
    }
    json.key("format");
    json.value(d.format);
    const bool known = d.allocated != ByteSource::kUnknown;
    if (known) {
        json.key("actual-size");
        json.value(d.allocated);
    }
    if (!info.specific.empty()) {
        write_specific(json, info);
    }
    if (!d.backing_path.empty()) {
        json.key("full-backing-filename");
        json.value(d.backing_path);
    }
    if (info.encrypted) {
        json.key("encrypted");
        json.value_bool(true);
    }
    if (!info.backing_name.empty()) {
        json.key("backing-filename");
        json.value(info.backing_name);
    }
    if (d.has_dirty_flag && info.has_dirty_flag) {
        json.key("dirty-flag");
        json.value_bool(info.dirty);
    }
    json.end_object();
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
        write_json(json, d);
    }
    if (request.chain) {
        json.end_array();
    }
    std::printf("%s\n", json.text().c_str());
    return kSuccess;
}

} // namespace img::cli
