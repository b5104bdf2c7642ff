// imgtool: disk images on the command line, with qemu-img's commands and options.
#include "base/process.hpp"
#include "imgtool/cli/command.hpp"
#include "imgtool/cli/help.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>

namespace img::cli {

namespace {

constexpr std::array kCommands{
    Command{"amend",
            "[--object objectdef] [--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o "
            "options filename",
            run_amend},
    Command{"bench",
            "[-c count] [-d depth] [-f fmt] [--flush-interval=flush_interval] [-i aio] [-n] "
            "[--no-drain] [-o offset] [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t "
            "cache] [-w] [-U] filename",
            run_bench},
    Command{"bitmap",
            "(--merge source | --add | --remove | --clear | --enable | --disable)... [-b "
            "source_file [-F source_fmt]] [-g granularity] [--object objectdef] [--image-opts | -f "
            "fmt] filename bitmap",
            run_bitmap},
    Command{"cat", "[--object objectdef] [--image-opts] [-U] [-f fmt] filename [N:]path", run_cat},
    Command{"check",
            "[-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T src_cache] [-U] filename",
            run_check},
    Command{"commit",
            "[--object objectdef] [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r "
            "rate_limit] [-d] [-p] filename",
            run_commit},
    Command{
        "compare",
        "[--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 filename2",
        run_compare},
    Command{"convert",
            "[--object objectdef] [--image-opts] [--target-image-opts] [--target-is-zero] "
            "[--bitmaps [--skip-broken-bitmaps]] [-U] [-C] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] "
            "[-T src_cache] [-O output_fmt] [-B backing_file [-F backing_fmt]] [-o options] [-l "
            "snapshot_param] [-S sparse_size] [-r rate_limit] [-m num_coroutines] [-W] [--salvage] "
            "[--reproducible] "
            "filename [filename2 [...]] output_filename",
            run_convert},
    Command{"create",
            "[-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]",
            run_create},
    Command{"dd",
            "[--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] "
            "[skip=blocks] if=input of=output",
            run_dd},
    Command{"diff",
            "[--object objectdef] [--image-opts] [-U] [-p] [-q] [-f fmt] [-F fmt] [--output=ofmt] "
            "[-o delta] filename1 filename2",
            run_diff, kTrouble},
    Command{"extract",
            "[--object objectdef] [--image-opts] [-U] [-p] [-q] [-f fmt] filename [N:]path "
            "destination",
            run_extract},
    Command{"hash",
            "[--object objectdef] [--image-opts] [-U] [-p] [-f fmt] [--algorithm=name] "
            "[--block-size=size] [--tree | --flat] [--output=ofmt] filename [filename2 [...]]",
            run_hash},
    Command{"help", "[command]", run_help},
    Command{"info", "[-f fmt] [--output=ofmt] [--backing-chain] [-U] filename", run_info},
    Command{"ls",
            "[--object objectdef] [--image-opts] [-U] [-f fmt] [-l] [-R] [--output=ofmt] filename "
            "[[N:]path]",
            run_ls},
    Command{"map",
            "[-f fmt] [--start-offset=offset] [--max-length=len] [--output=ofmt] [-U] filename",
            run_map},
    Command{"measure",
            "[--output=ofmt] [-O output_fmt] [-o options] [--size N | [--object objectdef] "
            "[--image-opts] [-f fmt] [-l snapshot_param] filename]",
            run_measure},
    Command{"patch",
            "[--object objectdef] [--image-opts] [-p] [-q] [-f fmt] [-O output_fmt] {-o "
            "output_filename | --in-place} filename delta",
            run_patch},
    Command{"rebase",
            "[--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] "
            "[-u] -b backing_file [-F backing_fmt] filename",
            run_rebase},
    Command{"resize",
            "[--object objectdef] [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] "
            "[--shrink] filename [+ | -]size",
            run_resize},
    Command{"serve",
            "[--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-k socket | --port=port "
            "[--bind=address]] [--writable] [-x export_name] [-D description] [-e max_clients] "
            "[--once] [--fork] [--pid-file=path] [--tls-certs=dir [--tls-required]] filename",
            run_serve},
    Command{"snapshot",
            "[--object objectdef] [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | -d "
            "snapshot] filename",
            run_snapshot},
};

} // namespace

std::span<const Command> all_commands()
{
    return kCommands;
}

namespace {

int run_command(int argc, char** argv)
{
    const char* name = argv[0];
    for (const Command& command : kCommands) {
        if (command.name != name) {
            continue;
        }
        return answered(command.run(argc, argv), command.trouble);
    }
    return misuse(std::string{"Command not found: "} + name);
}

/// -T: "[enable=]pattern". We have no trace events, and say so as qemu-img says it of those it has
/// not. False when it was refused, and that was reported.
bool take_trace(std::string_view text)
{
    CreateSettings settings;
    bool help = false;
    const std::size_t end = text.find_first_of(",=");
    const bool is_short = end == std::string_view::npos || text[end] == ',';
    parse_settings(is_short ? "enable=" + std::string{text} : std::string{text}, settings, help);
    std::string event; // the last one counts
    for (const auto& [name, value] : settings) {
        if (name == "events" || name == "file") {
            report(fmt::format("--trace {}= is not supported", name));
            return false;
        }
        if (name != "enable") {
            report(fmt::format("Invalid parameter '{}'", name));
            return false;
        }
        event = value.substr(value.starts_with('-') ? 1 : 0);
    }
    if (!event.empty() && event.find_first_of("*?") == std::string::npos) {
        report(fmt::format("warning: trace event '{}' does not exist", event));
    }
    return true;
}

int run_program(int argc, char** argv)
{
    set_program_name(argc > 0 ? argv[0] : "imgtool");
    if (argc < 2) {
        return misuse("Not enough arguments");
    }
    constexpr std::array<option, 4> kLong{{{"help", no_argument, nullptr, 'h'},
                                           {"version", no_argument, nullptr, 'V'},
                                           {"trace", required_argument, nullptr, 'T'},
                                           {}}};
    OptionReader reader{argc, argv, "hVT:", kLong.data(), Options::first};
    for (int c = reader.next(); c != OptionReader::kEnd; c = reader.next()) {
        switch (c) {
        case 'h':
            print_help();
            return answered(kSuccess);
        case 'V':
            print_version();
            return answered(kSuccess);
        case 'T':
            if (!take_trace(reader.value())) {
                return kFailure;
            }
            break;
        default:
            return kFailure;
        }
    }
    const auto operands = reader.operands();
    if (operands.empty()) {
        return misuse("Not enough arguments");
    }
    return run_command(static_cast<int>(operands.size()), operands.data());
}

} // namespace

} // namespace img::cli

int main(int argc, char** argv)
{
    base::secure_process();
    return img::cli::run_program(argc, argv);
}
