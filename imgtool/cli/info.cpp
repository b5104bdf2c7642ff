// imgtool info
#include "imgtool/cli/common.hpp"
#include "imgtool/cli/snapshot_list.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/formats/all.hpp"
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
    ImageInfo info;
    u64 allocated;            // bytes of host storage
    std::string backing_path; // where the backing name leads; empty when none
};

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong = with_common(
        std::array<option, 2>{{{"format", required_argument, nullptr, 'f'},
                               {"backing-chain", no_argument, nullptr, kOptBackingChain}}});
    OptionReader reader{argc, argv, "hf:U", kLong.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        const Taken taken = take_common(c, reader.value(), request.common);
        if (taken == Taken::bad) {
            return false;
        }
        if (c == 'f') {
            request.format = reader.value();
        } else if (c == kOptBackingChain) {
            request.chain = true;
        } else if (taken == Taken::no) {
            return false;
        }
    }
    if (reader.operands().size() != 1) {
        misuse("Expecting one image file name");
        return false;
    }
    request.path = reader.operands()[0];
    return true;
}

Result<std::vector<Described>> describe(const Request& request, std::string& failed_path)
{
    std::vector<Described> chain;
    std::vector<struct stat> seen;
    failed_path = request.path;
    auto first = open_options(request.common, request.path, request.format);
    if (!first) {
        return std::move(first).error();
    }
    OpenOptions next = std::move(first).value();
    next.no_io = true;
    while (true) {
        failed_path = next.path;
        auto layer = open_layer(next, OpenFor::use);
        if (!layer) {
            return std::move(layer).error();
        }
        struct stat st = {};
        (void)::stat(next.path.c_str(), &st); // it was opened just now
        const auto same = [&](const struct stat& s) {
            return s.st_dev == st.st_dev && s.st_ino == st.st_ino;
        };
        if (std::ranges::any_of(seen, same)) {
            return base::fail(
                base::Errc::corrupt,
                fmt::format("Backing file '{}' creates an infinite loop.", next.path));
        }
        seen.push_back(st);
        Image& image = *layer.value().image;
        Described described{.path = next.path,
                            .info = image.info(),
                            .allocated = image.allocated(),
                            .backing_path = {}};
        const std::string backing = described.info.backing_name;
        const std::string backing_format = described.info.backing_format;
        auto resolved = resolve_backing(next.path, backing);
        if (!backing.empty() && resolved) {
            described.backing_path = resolved.value();
        }
        chain.push_back(std::move(described));
        if (!request.chain || backing.empty()) {
            return chain;
        }
        if (!resolved) {
            return std::move(resolved).error();
        }
        next.path = resolved.value();
        next.format = backing_format;
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
    std::printf("image: %s\nfile format: %s\nvirtual size: %s (%llu bytes)\ndisk size: %s\n",
                d.path.c_str(), info.format.c_str(), size_text(info.size).c_str(),
                static_cast<unsigned long long>(info.size), size_text(d.allocated).c_str());
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
    json.value(info.format);
    json.key("actual-size");
    json.value(d.allocated);
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
    json.key("dirty-flag");
    json.value_bool(info.dirty);
    json.end_object();
}

} // namespace

int run_info(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    std::string path;
    auto chain = describe(request, path);
    if (!chain) {
        return report(fmt::format("Could not open '{}': {}", path, chain.error().message));
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
