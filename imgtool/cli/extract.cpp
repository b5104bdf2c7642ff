// imgtool extract
#include "imgtool/fs/extract.hpp"
#include "imgtool/cli/inside.hpp"
#include "imgtool/cli/progress.hpp"

#include <fmt/format.h>

#include <array>
#include <sys/stat.h>

namespace img::cli {

namespace {

constexpr auto kLong =
    with_common(std::array<option, 1>{{{"format", required_argument, nullptr, 'f'}}}, false);

struct Request {
    std::string path;
    std::string format;
    std::string place;
    std::string target;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'f':
        request.format = value;
        return true;
    default:
        return false;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:pqU", kLong.data()};
    return read_options(reader, request, take) &&
           take_operands(reader, "Expecting an image file name, a path and a destination",
                         {&request.path, &request.place, &request.target});
}

bool is_folder(const std::string& path)
{
    struct stat st = {};
    return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

/// The last part of a path; empty for the root.
std::string last_part(std::string path)
{
    path.resize(path.find_last_not_of('/') + 1);
    return path.substr(path.rfind('/') + 1);
}

/// The exit code.
int copy(const Request& request, fs::FileSystem& file_system, const std::string& path)
{
    auto node = fs::find(file_system, path, false);
    if (!node) {
        return report(fmt::format("{}: {}", printable(path), node.error().message));
    }
    std::string target = request.target;
    if (is_folder(target)) { // as cp has it: into the folder, but what is in the root beside that
        const std::string name = last_part(path);
        target += target.ends_with('/') ? "" : "/";
        target += fs::is_safe_name(name) ? name : ".";
    }
    int code = kSuccess;
    Progress progress{request.common.progress && !request.common.quiet};
    u64 done_bytes = 0;
    // How much there is to copy is not known before it has been: for one file it is.
    const u64 total = node.value().kind == fs::Kind::file ? node.value().size : 0;
    const fs::ExtractOptions options{
        .skipped =
            [&](const std::string& what, const std::string& why) {
                code = kFailure;
                if (!request.common.quiet) {
                    report(fmt::format("left out: {}: {}", printable(what), why));
                }
            },
        .progress =
            [&](u64 bytes) {
                done_bytes += bytes;
                return total != 0 ? progress.step(done_bytes, total) : !interrupted();
            }};
    if (auto done = fs::extract(file_system, node.value(), target, options); !done) {
        if (!interrupted()) {
            report(done.error().message);
        }
        return kFailure;
    }
    progress.show(100);
    return code;
}

} // namespace

int run_extract(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    catch_interrupts();
    const auto inside = look_inside(request.common, request.path, request.format);
    if (inside == nullptr) {
        return kFailure;
    }
    const PlaceOnDisk place = parse_place(request.place);
    auto file_system = open_inside(*inside, place);
    if (!file_system) {
        return report(fmt::format("{}: {}", request.path, file_system.error().message));
    }
    return finish(copy(request, *file_system.value(), place.path));
}

} // namespace img::cli
