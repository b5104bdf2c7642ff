// imgtool snapshot
#include "imgtool/cli/errors.hpp"
#include "imgtool/cli/open_named.hpp"
#include "imgtool/cli/snapshot_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace img::cli {

namespace {

struct Request {
    char action = '\0'; // the option's letter
    bool has_action = false;
    std::string snapshot;
    std::string path;
    std::string format;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    if (c == OptionReader::kBad) {
        return false;
    }
    if (c == 'f') {
        request.format = value;
        return true;
    }
    if (request.has_action) {
        misuse("Cannot mix '-l', '-a', '-c', '-d'");
        return false;
    }
    request.has_action = true;
    request.action = static_cast<char>(c);
    request.snapshot = c == 'l' ? "" : value;
    return true;
}

bool parse(int argc, char** argv, Request& request)
{
    static constexpr auto kLong =
        with_common(std::array<option, 5>{{{"apply", required_argument, nullptr, 'a'},
                                           {"create", required_argument, nullptr, 'c'},
                                           {"delete", required_argument, nullptr, 'd'},
                                           {"format", required_argument, nullptr, 'f'},
                                           {"list", no_argument, nullptr, 'l'}}});
    OptionReader reader{argc, argv, "la:c:d:f:hqU", kLong.data()};
    return read_options(reader, request, take) && take_one_operand(reader, request.path);
}

int take_snapshot(Image& image, const std::string& name)
{
    std::timespec now = {};
    (void)std::timespec_get(&now, TIME_UTC); // the beginning of 1970 where there is no clock
    auto done = image.create_snapshot(name, {.seconds = static_cast<base::u32>(now.tv_sec),
                                             .nanoseconds = static_cast<base::u32>(now.tv_nsec)});
    return done ? kSuccess
                : report(fmt::format("Could not create snapshot '{}': {}", name,
                                     numbered(done.error())));
}

int apply_snapshot(Image& image, const std::string& name)
{
    auto done = image.apply_snapshot(name);
    if (done) {
        return kSuccess;
    }
    const bool none = done.error().message.ends_with("does not support internal snapshots");
    return report_caused(fmt::format("Could not apply snapshot '{}': ", name),
                         none ? "Block driver does not support snapshots" : done.error().message);
}

int delete_snapshot(Image& image, const std::string& name)
{
    const auto all = image.info().snapshots;
    const auto found = std::ranges::find(all, name, &SnapshotInfo::name);
    if (found == all.end()) {
        return report(fmt::format("Could not delete snapshot '{}': snapshot not found", name));
    }
    auto done = image.delete_snapshot(found->id);
    if (!done && done.error().message.starts_with("Failed to free the cluster")) {
        // The reason is told twice, as qemu-img's library does.
        std::fprintf(stderr, "qcow2_free_clusters failed: %s\n", system_part(done.error()).c_str());
    }
    return done ? kSuccess
                : report(fmt::format("Could not delete snapshot '{}': {}", name,
                                     done.error().message));
}

int list_snapshots(Image& image)
{
    const auto all = image.info().snapshots;
    if (!all.empty()) {
        print_snapshot_list(all);
    }
    return kSuccess;
}

} // namespace

int run_snapshot(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    const auto disk = open_named(
        request.common,
        {.path = request.path, .format = request.format, .writable = request.action != 'l'});
    if (!disk) {
        return kFailure;
    }
    Image& image = *disk->layers().front().image;
    switch (request.action) {
    case 'c':
        return take_snapshot(image, request.snapshot);
    case 'a':
        return apply_snapshot(image, request.snapshot);
    case 'd':
        return delete_snapshot(image, request.snapshot);
    case 'l':
        return list_snapshots(image);
    default:
        return kSuccess; // without an action qemu-img does nothing
    }
}

} // namespace img::cli
