// imgtool info
#include "imgtool/cli/command.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/open.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <sys/stat.h>

namespace img::cli {

namespace {

struct Request {
    std::string path;
    std::string format;
    Output output = Output::human;
    bool chain = false;
    bool share = false;
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
    constexpr std::array<option, 8> kLong{
        {{"help", no_argument, nullptr, 'h'},
         {"format", required_argument, nullptr, 'f'},
         {"output", required_argument, nullptr, kOptOutput},
         {"backing-chain", no_argument, nullptr, kOptBackingChain},
         {"object", required_argument, nullptr, kOptObject},
         {"image-opts", no_argument, nullptr, kOptImageOpts},
         {"force-share", no_argument, nullptr, 'U'},
         {}}};
    OptionReader reader{argc, argv, "hf:U", kLong.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        switch (c) {
        case 'h':
            print_help();
            std::exit(kSuccess);
        case 'f':
            request.format = reader.value();
            break;
        case 'U':
            request.share = true;
            break;
        case kOptOutput:
            if (!parse_output(reader.value(), request.output)) {
                return false;
            }
            break;
        case kOptBackingChain:
            request.chain = true;
            break;
        case kOptObject:
            refuse("--object");
            return false;
        case kOptImageOpts:
            refuse("--image-opts");
            return false;
        default:
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
    OpenOptions next{.path = request.path, .format = request.format, .share = request.share};
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
                            .allocated = image.file().allocated(),
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

void print_snapshots(const std::vector<SnapshotInfo>& snapshots)
{
    std::printf("Snapshot list:\n%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE",
                "VM CLOCK", "ICOUNT");
    for (const SnapshotInfo& s : snapshots) {
        char date[64] = "";
        const std::time_t seconds = s.date_s;
        std::tm local = {};
        if (localtime_r(&seconds, &local) != nullptr) {
            std::strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &local);
        }
        const u64 clock_s = s.vm_clock_ns / 1'000'000'000;
        const std::string clock =
            fmt::format("{:02}:{:02}:{:02}.{:03}", clock_s / 3600, clock_s / 60 % 60, clock_s % 60,
                        s.vm_clock_ns / 1'000'000 % 1000);
        std::printf("%-9s %-16s %8s%20s%13s%11s\n", s.id.c_str(), s.name.c_str(),
                    size_text(s.vm_state_size).c_str(), date, clock.c_str(),
                    s.icount ? std::to_string(*s.icount).c_str() : "");
    }
}

void print_human(const Described& d)
{
    const ImageInfo& info = d.info;
    std::printf("image: %s\nfile format: %s\nvirtual size: %s (%llu bytes)\ndisk size: %s\n",
                d.path.c_str(), info.format.c_str(), size_text(info.size).c_str(),
                static_cast<unsigned long long>(info.size), size_text(d.allocated).c_str());
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
        print_snapshots(info.snapshots);
    }
    if (!info.specific.empty()) {
        std::printf("Format specific information:\n");
        for (const Property& p : info.specific) {
            std::printf("    %s: %s\n", human_key(p.key).c_str(), p.text.c_str());
        }
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

void write_specific(JsonWriter& json, const ImageInfo& info)
{
    json.key("format-specific");
    json.begin_object();
    json.key("type");
    json.value(info.format);
    json.key("data");
    json.begin_object();
    for (const Property& p : info.specific) {
        json.key(p.key);
        if (p.kind == Property::Kind::string) {
            json.value(p.text);
        } else {
            json.raw(p.text);
        }
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
    if (request.output == Output::human) {
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
