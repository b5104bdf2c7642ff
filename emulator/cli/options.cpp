#include "emulator/cli/options.hpp"

#include "emulator/cli/option_table.hpp"

#include <array>
#include <fmt/format.h>

namespace emu::cli {

namespace {

using base::Errc;

struct Part {
    std::string_view topic; // of --help
    std::string_view title;
    std::span<const OptionRow> (*rows)();
};

constexpr std::array<Part, 4> kParts{
    {{"machine", "The machine", machine_options},
     {"drives", "Drives", drive_options},
     {"consoles", "Consoles, displays, control, help", host_options},
     {"run", "How it is run", run_options}}};
constexpr std::string_view kAllTopics = "all";

const OptionRow* find_row(const std::string& name)
{
    for (const Part& part : kParts) {
        for (const OptionRow& row : part.rows()) {
            if (row.name == name) {
                return &row;
            }
        }
    }
    return nullptr;
}

/// As with QEMU, one dash may be typed as two and the other way round.
const OptionRow* find_option(const std::string& word)
{
    if (const OptionRow* row = find_row(word)) {
        return row;
    }
    return word.starts_with("--") ? find_row(word.substr(1)) : find_row("-" + word);
}

base::Error unknown_option(const std::string& word)
{
    const std::string single = word.starts_with("--") ? word.substr(1) : word;
    for (const RefusedOption& refused : refused_options()) {
        if (refused.name == single) {
            return base::fail(Errc::unsupported, word + ": " + std::string{refused.why});
        }
    }
    return base::fail(Errc::invalid_argument, word + ": no such option (-help lists them)");
}

base::Status check_together(const Options& options)
{
    const auto bad = [](const std::string& text) {
        return base::fail(Errc::invalid_argument, text);
    };
    if (!options.script.empty() && !options.replay.empty()) {
        return bad("--script: cannot be combined with --replay (the log has the script's input)");
    }
    if (!options.record.empty() && !options.replay.empty()) {
        return bad("--record: cannot be combined with --replay");
    }
    if (!options.report.empty() && options.script.empty()) {
        return bad("--report: needs --script");
    }
    if (!options.state_dump.empty() && !options.stop_at) {
        return bad("--state-dump: needs --stop-at");
    }
    if (options.state_hash && !options.stop_at) {
        return bad("--state-hash: needs --stop-at");
    }
    if (options.kernel.empty() && !options.initrd.empty()) {
        return bad("-initrd: only allowed with -kernel");
    }
    if (options.kernel.empty() && !options.append.empty()) {
        return bad("-append: only allowed with -kernel");
    }
    return base::ok();
}

} // namespace

base::Result<Options> parse_options(const std::vector<std::string>& arguments)
{
    Options options;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        std::string word = arguments[i];
        std::optional<std::string> attached;
        if (!word.starts_with("-") || word == "-") {
            // A lone file name is the first hard disk, as with QEMU.
            attached = word;
            word = "-hda";
        } else if (word.starts_with("--")) {
            if (const auto equals = word.find('='); equals != std::string::npos) {
                attached = word.substr(equals + 1);
                word.resize(equals);
            }
        }
        const OptionRow* row = find_option(word);
        if (row == nullptr) {
            return unknown_option(word);
        }
        const bool is_last = i + 1 == arguments.size() || arguments[i + 1].starts_with("-");
        if (row->takes_value && !attached && !(row->value_may_lack && is_last)) {
            if (++i == arguments.size()) {
                return base::fail(Errc::invalid_argument, word + ": requires an argument");
            }
            attached = arguments[i];
        } else if (!row->takes_value && attached) {
            return base::fail(Errc::invalid_argument, word + ": takes no value");
        }
        if (auto applied = row->apply(options, attached.value_or("")); !applied) {
            return std::move(applied).error().in(word +
                                                 (attached ? " " + *attached : std::string{}));
        }
        if (!options.answer.empty()) {
            return options;
        }
    }
    if (auto checked = check_together(options); !checked) {
        return std::move(checked).error();
    }
    return options;
}

namespace {

std::string describe(const Part& part)
{
    std::string text = fmt::format("\n{}:\n", part.title);
    for (const OptionRow& row : part.rows()) {
        if (!row.help.empty()) {
            text += fmt::format("  {:<34} {}\n", fmt::format("{} {}", row.name, row.parameters),
                                row.help);
        }
    }
    return text;
}

std::string usage()
{
    return fmt::format("Menagerie emulator {}: whole machines, run by translating their code.\n\n"
                       "usage: emulator [options] [disk image]\n",
                       kVersion);
}

std::string examples()
{
    return "\nExamples:\n"
           "  emulator -hda disk.qcow2                     boot a hard disk in a window\n"
           "  emulator -hda d.qcow2 -cdrom os.iso -boot d  install from a CD\n"
           "  emulator -fda dos.img --display text         a floppy in this terminal\n"
           "  emulator -kernel vmlinuz -initrd rd.gz -append console=ttyS0 -nographic\n"
           "  emulator -fda dos.img --script steps.toml --report out\n"
           "  emulator -hda d.qcow2 -snapshot -display none --stop-at 1000000000 "
           "--state-hash\n"
           "In a window Ctrl+Alt+G takes and frees the mouse, Ctrl+Alt+F is full screen.\n"
           "On a terminal Ctrl-A x ends the program, Ctrl-A c goes to the monitor and back.\n";
}

} // namespace

std::string help_text()
{
    std::string text = usage();
    for (const Part& part : kParts) {
        text += describe(part);
    }
    return text + examples();
}

base::Result<std::string> help_text(std::string_view topic)
{
    std::string known;
    std::string listed;
    for (const Part& part : kParts) {
        if (part.topic == topic) {
            return usage() + describe(part);
        }
        known += std::string{part.topic} + ", ";
        listed += fmt::format("  --help {:<27} {}\n", part.topic, part.title);
    }
    if (topic == kAllTopics) {
        return help_text();
    }
    if (!topic.empty()) {
        return base::fail(Errc::invalid_argument,
                          fmt::format("no such topic (known: {}{})", known, kAllTopics));
    }
    return usage() + "\nThe options, by topic:\n" + listed +
           fmt::format("  --help {:<27} All of them, as -help\n", kAllTopics) + examples();
}

} // namespace emu::cli
