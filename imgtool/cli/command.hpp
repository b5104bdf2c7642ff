// What the subcommands share: how they are called, how they complain, how they read options.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "imgtool/format.hpp"

#include <getopt.h>

#include <span>
#include <string>
#include <string_view>

namespace img::cli {

using base::u64;
using base::u8;

// Exit codes, as qemu-img's.
inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;
inline constexpr int kCheckCorrupt = 2;
inline constexpr int kCheckLeaks = 3;
inline constexpr int kCheckUnsupported = 63;
// As diff(1)'s, whose 1 is an answer.
inline constexpr int kTrouble = 2;

struct Command {
    std::string_view name;
    std::string_view synopsis;         // one line of the help
    int (*run)(int argc, char** argv); // argv[0] is the command's name
    int trouble = kFailure;            // its code when something went wrong
};

/// The name by which the program was called; every message begins with it.
void set_program_name(const char* argv0);
const std::string& program_name();

/// The version of qemu-img whose callers are served when the program is called by that name.
constexpr const char* kQemuImgVersion = "7.2.0";
/// Whether JSON has the members that came after that version: scripts, such as QEMU's own tests,
/// that compare whole texts know the version by the name.
bool has_later_members();

/// "name: message" on the standard error stream. Returns kFailure.
int report(std::string_view message);
/// The same for a wrong command line, pointing to --help.
int misuse(std::string_view message);

/// The code of a command that has printed its answer: `code`, or `trouble` when a part of the
/// answer is lost.
int answered(int code, int trouble = kFailure);

/// Where options may stand: anywhere among the operands, or before the first one only.
enum class Options : u8 { anywhere, first };

/// Reads one option after another; messages for wrong ones are printed here. -h prints the
/// command's help page and ends the program.
class OptionReader {
public:
    OptionReader(int argc, char** argv, const char* short_options, const option* long_options,
                 Options where = Options::anywhere);

    static constexpr int kEnd = -1;
    static constexpr int kBad = -2; // has been reported
    int next();
    const char* value() const { return optarg; }
    /// What is left when next() said kEnd.
    std::span<char*> operands() const;

private:
    int argc_;
    char** argv_;
    std::string short_options_;
    const option* long_options_;
    Options where_;
};

// Values of long options without a letter.
enum LongOption {
    kOptOutput = 256,
    kOptObject,
    kOptImageOpts,
    kOptTargetImageOpts,
    kOptTargetIsZero,
    kOptBitmaps,
    kOptSalvage,
    kOptStartOffset,
    kOptMaxLength,
    kOptPreallocation,
    kOptShrink,
    kOptFull,
    kOptForce,
    kOptBitmapAdd, // in the order of the actions in cli/bitmap.cpp
    kOptBitmapRemove,
    kOptBitmapClear,
    kOptBitmapEnable,
    kOptBitmapDisable,
    kOptBitmapMerge
};

enum class Output : u8 { human, json };
/// Parses the value of --output; false when it was reported.
bool parse_output(const char* value, Output& output);

/// Parses "a=b,c=d" (",," is a comma) onto the end of `settings`; "help" or "?" sets `help`.
/// A name without a value is "on"; "noname" is "off".
void parse_settings(std::string_view text, CreateSettings& settings, bool& help);

/// One line of such a list.
void print_option(const CreateOption& option);
/// The same for -o, which may be given more than once: an odd comma at either end would change the
/// meaning of what is joined. False when it was refused, and that was reported.
bool take_settings(std::string_view text, CreateSettings& settings, bool& help);

/// `-o help`; with a file's name, the options of host files are among them.
int print_create_options(const FormatDriver& format, bool has_file);

/// Whether a cache mode's name is known.
bool is_cache_mode(std::string_view name);

std::span<const Command> all_commands();

int run_create(int argc, char** argv);
int run_convert(int argc, char** argv);
int run_info(int argc, char** argv);
int run_check(int argc, char** argv);
int run_map(int argc, char** argv);
int run_amend(int argc, char** argv);
int run_bitmap(int argc, char** argv);
int run_measure(int argc, char** argv);
int run_resize(int argc, char** argv);
int run_snapshot(int argc, char** argv);
int run_compare(int argc, char** argv);
int run_rebase(int argc, char** argv);
int run_commit(int argc, char** argv);
int run_dd(int argc, char** argv);
int run_bench(int argc, char** argv);
int run_serve(int argc, char** argv);
int run_hash(int argc, char** argv);
int run_help(int argc, char** argv);
int run_ls(int argc, char** argv);
int run_cat(int argc, char** argv);
int run_extract(int argc, char** argv);
int run_diff(int argc, char** argv);
int run_patch(int argc, char** argv);

} // namespace img::cli
