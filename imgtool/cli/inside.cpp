#include "imgtool/cli/inside.hpp"

#include "imgtool/cli/numbers.hpp"
#include "imgtool/cli/open_named.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::cli {

constexpr u64 kMaxPartition = 99'999; // more than any table has

std::unique_ptr<Inside> look_inside(const Common& common, const std::string& path,
                                    const std::string& format)
{
    auto disk = open_named(common, {.path = path, .format = format});
    if (disk == nullptr) {
        return nullptr;
    }
    auto inside = std::make_unique<Inside>();
    inside->disk = std::move(disk);
    auto table = fs::read_partitions(*inside->disk);
    if (table) {
        inside->table = std::move(table).value();
    } else if (table.error().code != base::Errc::io) {
        inside->table.problems.push_back(table.error().message); // there may be file systems still
    } else {
        report(fmt::format("{}: {}", path, table.error().message));
        return nullptr;
    }
    for (const std::string& problem : inside->table.problems) {
        report("warning: " + problem);
    }
    return inside;
}

PlaceOnDisk parse_place(const std::string& text)
{
    const auto colon = text.find(':');
    if (colon != std::string::npos && colon != 0) {
        if (const auto number = parse_count(text.substr(0, colon).c_str(), kMaxPartition)) {
            return {.partition = static_cast<unsigned>(*number), .path = text.substr(colon + 1)};
        }
    }
    return {.partition = std::nullopt, .path = text};
}

namespace {

Result<std::unique_ptr<fs::FileSystem>> open_partition(Inside& inside, unsigned number)
{
    if (number == 0) {
        return fs::open_file_system(fs::Volume{*inside.disk});
    }
    const auto& all = inside.table.partitions;
    const auto found = std::ranges::find(all, number, &fs::Partition::number);
    if (found == all.end()) {
        return base::fail(base::Errc::invalid_argument,
                          fmt::format("there is no partition {}", number));
    }
    auto opened = fs::open_file_system(fs::Volume{*inside.disk, found->start, found->size});
    return opened ? std::move(opened)
                  : std::move(opened).error().in(fmt::format("partition {}", number));
}

Result<std::unique_ptr<fs::FileSystem>> guess_partition(Inside& inside)
{
    auto whole = open_partition(inside, 0);
    if (whole || inside.table.partitions.empty()) {
        return whole;
    }
    std::unique_ptr<fs::FileSystem> only;
    std::optional<base::Error> why; // the first one is of no use
    for (const fs::Partition& partition : inside.table.partitions) {
        auto opened = open_partition(inside, partition.number);
        if (opened && only != nullptr) {
            return base::fail(base::Errc::invalid_argument,
                              "there are several partitions with file systems; name one, as in "
                              "'1:/path'");
        }
        if (opened) {
            only = std::move(opened).value();
        } else if (!why && opened.error().code != base::Errc::wrong_format) {
            why = std::move(opened).error();
        }
    }
    if (only == nullptr && why) {
        return std::move(*why);
    }
    return only != nullptr ? Result<std::unique_ptr<fs::FileSystem>>{std::move(only)}
                           : std::move(whole);
}

} // namespace

Result<std::unique_ptr<fs::FileSystem>> open_inside(Inside& inside, const PlaceOnDisk& place)
{
    auto opened =
        place.partition ? open_partition(inside, *place.partition) : guess_partition(inside);
    if (opened && !opened.value()->note().empty()) {
        report("warning: " + opened.value()->note());
    }
    return opened;
}

std::string printable(const std::string& text)
{
    std::string shown;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        shown += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string{c};
    }
    return shown;
}

} // namespace img::cli
