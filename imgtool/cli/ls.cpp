// imgtool ls
#include "base/output.hpp"
#include "imgtool/cli/inside.hpp"
#include "imgtool/cli/text.hpp"
#include "imgtool/fs/recognize.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <set>

namespace img::cli {

namespace {

constexpr int kMaxDepth = 200;

enum LocalOption { kOptJson = 1000 };

constexpr auto kLong =
    with_common(std::array<option, 3>{{{"format", required_argument, nullptr, 'f'},
                                       {"recursive", no_argument, nullptr, 'R'},
                                       {"json", no_argument, nullptr, kOptJson}}});

struct Request {
    std::string path;
    std::string format;
    std::optional<std::string> place;
    bool details = false;
    bool recursive = false;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    case 'l':
        request.details = true;
        return true;
    case 'R':
        request.recursive = true;
        return true;
    case kOptJson:
        request.common.output = Output::json;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:lRqU", kLong.data()};
    if (!read_options(reader, request, take)) {
        return false;
    }
    const auto operands = reader.operands();
    if (operands.empty() || operands.size() > 2) {
        misuse("Expecting an image file name and a path");
        return false;
    }
    request.path = operands[0];
    if (operands.size() == 2) {
        request.place = operands[1];
    }
    return true;
}

std::string_view kind_name(fs::Kind kind)
{
    constexpr std::array<std::string_view, 4> kNames{"file", "directory", "link", "special"};
    return kNames[static_cast<std::size_t>(kind)];
}

std::string time_text(const std::optional<fs::UnixTime>& time)
{
    constexpr fs::UnixTime kYear10000 = 253402300800;
    if (!time || *time < -kYear10000 || *time >= kYear10000) {
        return "-";
    }
    const auto seconds = static_cast<std::time_t>(*time);
    std::tm t = {};
    ::gmtime_r(&seconds, &t);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", t.tm_year + 1900, t.tm_mon + 1,
                       t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
}

class Lister {
public:
    Lister(const Request& request, fs::FileSystem& file_system)
        : request_{request}, file_system_{file_system}
    {}

    /// False when something could not be listed, which was reported.
    bool run(const std::string& path)
    {
        auto node = fs::find(file_system_, path, false);
        if (!node) {
            report(fmt::format("{}: {}", printable(path), node.error().message));
            return false;
        }
        if (json()) {
            writer_.begin_array();
        }
        if (node.value().kind == fs::Kind::folder) {
            list(node.value(), "", 0);
            if (request_.details && path.find_first_not_of('/') == std::string::npos) {
                list_boot_entries();
            }
        } else {
            print({.name = path.substr(path.rfind('/') + 1), .node = node.value()}, "");
        }
        if (json()) {
            writer_.end_array();
            base::print("{}\n", writer_.take());
        }
        return good_;
    }

private:
    bool json() const { return request_.common.output == Output::json; }

    void list(const fs::Node& folder, const std::string& prefix, int depth)
    {
        if (depth > kMaxDepth || !seen_.insert(folder.id).second) {
            complain(prefix, "the folder is in more than one place, or too deep");
            return;
        }
        auto listing = file_system_.list(folder);
        if (!listing) {
            complain(prefix, listing.error().message);
            return;
        }
        std::vector<fs::Entry>& entries = listing.value().entries;
        std::ranges::sort(entries, {}, &fs::Entry::name);
        if (!listing.value().problem.empty()) {
            complain(prefix, listing.value().problem);
        }
        for (const fs::Entry& entry : entries) {
            print(entry, prefix);
            if (base::answer_lost()) {
                return; // nobody reads the rest
            }
            if (request_.recursive && entry.node.kind == fs::Kind::folder) {
                list(entry.node, prefix + entry.name + "/", depth + 1);
            }
        }
    }

    /// What a firmware finds on a CD is shown with its top folder.
    void list_boot_entries()
    {
        auto entries = file_system_.boot_entries();
        if (!entries) {
            complain("", entries.error().message);
            return;
        }
        unsigned number = 0;
        for (const fs::BootEntry& entry : entries.value()) {
            const std::string name = fmt::format("boot entry {}", ++number);
            if (json()) {
                print_json(entry, name);
            } else {
                base::print("{}: {}, emulation: {}, {} bytes at {}{}\n", name, entry.platform,
                            entry.emulation, entry.size, entry.start,
                            entry.bootable ? "" : ", not bootable");
            }
        }
    }

    void complain(const std::string& where, const std::string& why)
    {
        report(fmt::format("{}: {}", where.empty() ? "/" : printable(where), why));
        good_ = false;
    }

    std::string target_of(const fs::Node& node)
    {
        if (node.kind != fs::Kind::link) {
            return "";
        }
        auto target = file_system_.target(node);
        return target ? target.value() : "?";
    }

    void print(const fs::Entry& entry, const std::string& prefix)
    {
        if (json()) {
            print_json(entry, prefix);
            return;
        }
        const std::string name = printable(prefix + entry.name);
        if (!request_.details) {
            base::print("{}{}\n", name, entry.node.kind == fs::Kind::folder ? "/" : "");
            return;
        }
        const fs::Node& n = entry.node;
        constexpr std::string_view kLetters = "-dls";
        const std::string target = printable(target_of(n));
        base::print("{}{:04o} {:>5} {:>5} {:>12} {:19} {}{}{}\n",
                    kLetters[static_cast<std::size_t>(n.kind)], n.mode, n.user, n.group, n.size,
                    time_text(n.modified), name, target.empty() ? "" : " -> ", target);
    }

    void print_json(const fs::Entry& entry, const std::string& prefix)
    {
        const fs::Node& n = entry.node;
        writer_.begin_object();
        writer_.key("name");
        writer_.value(prefix + entry.name);
        writer_.key("type");
        writer_.value(kind_name(n.kind));
        writer_.key("size");
        writer_.value(n.size);
        writer_.key("mode");
        writer_.value(u64{n.mode});
        writer_.key("uid");
        writer_.value(u64{n.user});
        writer_.key("gid");
        writer_.value(u64{n.group});
        if (n.modified) {
            writer_.key("mtime");
            writer_.raw(std::to_string(*n.modified));
        }
        if (n.kind == fs::Kind::link) {
            writer_.key("target");
            writer_.value(target_of(n));
        }
        writer_.end_object();
        base::print("{}", writer_.take());
    }

    void print_json(const fs::BootEntry& entry, const std::string& name)
    {
        writer_.begin_object();
        for (const auto& [key, text] : {std::pair<std::string_view, std::string_view>{"name", name},
                                        {"type", "boot entry"},
                                        {"platform", entry.platform},
                                        {"emulation", entry.emulation}}) {
            writer_.key(key);
            writer_.value(text);
        }
        writer_.key("bootable");
        writer_.value_bool(entry.bootable);
        writer_.key("start");
        writer_.value(entry.start);
        writer_.key("size");
        writer_.value(entry.size);
        writer_.end_object();
        base::print("{}", writer_.take());
    }

    const Request& request_;
    fs::FileSystem& file_system_;
    JsonWriter writer_;
    std::set<u64> seen_; // folders: a damaged file system may have loops
    bool good_ = true;
};

/// A partition, or as number 0 the whole disk, with what is in it.
struct Row {
    fs::Partition partition;
    std::string file_system, label; // empty: none that we know
    std::string problem = {};       // why it cannot be looked into; empty: it can, or it is nothing
};

Row make_row(Inside& inside, const fs::Partition& partition)
{
    Row row{.partition = partition, .file_system = {}, .label = {}};
    const fs::Volume volume{*inside.disk, partition.start, partition.size};
    if (auto opened = fs::open_file_system(volume)) {
        row.file_system = opened.value()->type();
        row.label = opened.value()->label();
    } else if (opened.error().code != base::Errc::wrong_format) {
        row.file_system = fs::recognize(volume);
        row.problem = opened.error().message;
    }
    return row;
}

void print_json(const Inside& inside, const std::vector<Row>& rows)
{
    JsonWriter writer;
    writer.begin_object();
    writer.key("table");
    writer.value(inside.table.kind);
    writer.key("partitions");
    writer.begin_array();
    for (const Row& row : rows) {
        writer.begin_object();
        writer.key("number");
        writer.value(u64{row.partition.number});
        writer.key("start");
        writer.value(row.partition.start);
        writer.key("size");
        writer.value(row.partition.size);
        for (const auto& [key, text] :
             {std::pair{"type", &row.partition.type}, std::pair{"name", &row.partition.name},
              std::pair{"filesystem", &row.file_system}, std::pair{"label", &row.label},
              std::pair{"problem", &row.problem}}) {
            if (!text->empty()) {
                writer.key(key);
                writer.value(*text);
            }
        }
        if (inside.table.kind == "mbr") {
            writer.key("bootable");
            writer.value_bool(row.partition.bootable);
        }
        writer.end_object();
    }
    writer.end_array();
    writer.end_object();
    base::print("{}\n", writer.text());
}

int list_partitions(const Request& request, Inside& inside)
{
    std::vector<Row> rows;
    Row whole = make_row(inside, {.size = inside.disk->size()});
    if (!whole.file_system.empty()) {
        rows.push_back(std::move(whole));
    }
    for (const fs::Partition& partition : inside.table.partitions) {
        rows.push_back(make_row(inside, partition));
    }
    if (request.common.output == Output::json) {
        print_json(inside, rows);
        return kSuccess;
    }
    base::print("{:<4} {:>16} {:>12}  {:36} {:8} {}\n", "N", "start", "size", "type", "files",
                "label");
    for (const Row& row : rows) {
        const fs::Partition& p = row.partition;
        if (!row.problem.empty() && row.file_system.empty()) { // else the column says it
            report(fmt::format("warning: partition {}: {}", p.number, row.problem));
        }
        base::print("{:<4} {:>16} {:>12}  {:36} {:8} {}\n", p.number, p.start, size_text(p.size),
                    p.number == 0 ? "(whole disk)" : p.type,
                    row.file_system.empty() ? "-" : row.file_system,
                    printable(row.label.empty() ? p.name : row.label));
    }
    return kSuccess;
}

} // namespace

int run_ls(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    const auto inside = look_inside(request.common, request.path, request.format);
    if (inside == nullptr) {
        return kFailure;
    }
    if (!request.place && !inside->table.partitions.empty()) {
        auto whole = fs::open_file_system(fs::Volume{*inside->disk});
        // A boot sector's code can look like a partition table; only CDs have both.
        if (!whole || whole.value()->type() == "iso9660") {
            return list_partitions(request, *inside);
        }
    }
    const PlaceOnDisk place = parse_place(request.place.value_or("/"));
    auto file_system = open_inside(*inside, place);
    if (!file_system) {
        return report(fmt::format("{}: {}", request.path, file_system.error().message));
    }
    return Lister{request, *file_system.value()}.run(place.path) ? kSuccess : kFailure;
}

} // namespace img::cli
