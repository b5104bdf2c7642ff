// imgtool cat
#include "base/output.hpp"
#include "imgtool/cli/inside.hpp"
#include "imgtool/fs/extract.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>

namespace img::cli {

namespace {

constexpr auto kLong =
    with_common(std::array<option, 1>{{{"format", required_argument, nullptr, 'f'}}}, false);

struct Request {
    std::string path;
    std::string format;
    std::string place;
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
    OptionReader reader{argc, argv, "hf:qU", kLong.data()};
    return read_options(reader, request, take) &&
           take_operands(reader, "Expecting an image file name and a path",
                         {&request.path, &request.place});
}

Status write_out(u64, std::span<const u8> bytes)
{
    base::put(stdout, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return base::answer_lost() ? Status{base::fail(base::Errc::io, "")} : base::ok();
}

Status copy(fs::FileSystem& file_system, const std::string& path)
{
    auto node = fs::find(file_system, path, true);
    if (!node) {
        return std::move(node).error();
    }
    if (node.value().kind != fs::Kind::file) {
        return base::fail(base::Errc::invalid_argument, node.value().kind == fs::Kind::folder
                                                            ? "Is a directory"
                                                            : "it is not a plain file");
    }
    return fs::read_file(file_system, node.value(), write_out);
}

} // namespace

int run_cat(int argc, char** argv)
{
    Request request;
    if (!parse(argc, argv, request)) {
        return kFailure;
    }
    const auto inside = look_inside(request.common, request.path, request.format);
    if (inside == nullptr) {
        return kFailure;
    }
    const PlaceOnDisk place = parse_place(request.place);
    auto file_system = open_inside(*inside, place);
    if (!file_system) {
        return report(fmt::format("{}: {}", request.path, file_system.error().message));
    }
    const auto done = copy(*file_system.value(), place.path);
    return done || base::answer_lost() // which is told at the end
               ? kSuccess
               : report(fmt::format("{}: {}", printable(place.path), done.error().message));
}

} // namespace img::cli
