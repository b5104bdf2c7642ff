// imgtool cat
#include "imgtool/cli/inside.hpp"
#include "imgtool/fs/extract.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>

namespace img::cli {

namespace {

constexpr const char* kHelp =
    R"(usage: {0} cat [options] filename [N:]PATH
Writes a file that is on a disk to the standard output.

{1}
Exits with 0, or 1 when the file could not be read or written.

Examples:
  {0} cat disk.qcow2 1:/etc/fstab
  {0} cat install.iso /boot/grub/grub.cfg
)";

constexpr auto kLong =
    with_common(std::array<option, 1>{{{"format", required_argument, nullptr, 'f'}}}, false);

struct Request {
    std::string path;
    std::string format;
    std::string place;
    bool help = false;
    Common common;
};

bool take(int c, const char* value, Request& request)
{
    switch (c) {
    case 'h':
        request.help = true;
        return true;
    case 'f':
        request.format = value;
        return true;
    default:
        return take_common(c, value, request.common) == Taken::yes;
    }
}

bool parse(int argc, char** argv, Request& request)
{
    OptionReader reader{argc, argv, "hf:qU", kLong.data()};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        if (!take(c, reader.value(), request)) {
            return false;
        }
    }
    if (request.help) {
        return true;
    }
    const auto operands = reader.operands();
    if (operands.size() != 2) {
        misuse("Expecting an image file name and a path");
        return false;
    }
    request.path = operands[0];
    request.place = operands[1];
    return true;
}

Status write_out(u64, std::span<const u8> bytes)
{
    return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()
               ? base::ok()
               : Status{base::fail(base::Errc::io, "the output could not be written")};
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
    if (request.help) {
        fmt::print(fmt::runtime(kHelp), program_name(), kInsideHelp);
        return kSuccess;
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
    return done ? kSuccess
                : report(fmt::format("{}: {}", printable(place.path), done.error().message));
}

} // namespace img::cli
