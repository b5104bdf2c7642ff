#include "imgtool/cli/command.hpp"

#include "base/output.hpp"
#include "imgtool/cli/help.hpp"
#include "imgtool/ops/file_options.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace img::cli {

namespace {

std::string& stored_program_name()
{
    static std::string name = "imgtool"; // set once, at the start of main()
    return name;
}

std::string_view type_text(CreateOption::Type type)
{
    switch (type) {
    case CreateOption::Type::text:
        return "<str>";
    case CreateOption::Type::size:
        return "<size>";
    case CreateOption::Type::number:
        return "<num>";
    case CreateOption::Type::boolean:
        return "<bool (on/off)>";
    }
    return "";
}

} // namespace

void set_program_name(const char* argv0)
{
    const char* slash = std::strrchr(argv0, '/');
    stored_program_name() = slash != nullptr ? slash + 1 : argv0;
}

const std::string& program_name()
{
    return stored_program_name();
}

bool has_later_members()
{
    return program_name() != "qemu-img";
}

int report(std::string_view message)
{
    std::fprintf(stderr, "%s: %.*s\n", program_name().c_str(), static_cast<int>(message.size()),
                 message.data());
    return kFailure;
}

int misuse(std::string_view message)
{
    report(message);
    std::fprintf(stderr, "Try '%s --help' for more information\n", program_name().c_str());
    return kFailure;
}

int answered(int code, int trouble)
{
    return base::finish_answer(program_name()) ? code : std::max(code, trouble);
}

OptionReader::OptionReader(int argc, char** argv, const char* short_options,
                           const option* long_options, Options where)
    : argc_{argc}, argv_{argv}, short_options_{std::string{where == Options::first ? "+:" : ":"} +
                                               short_options},
      long_options_{long_options}, where_{where}
{
    optind = 0; // glibc: forget what was parsed before
}

int OptionReader::next()
{
    const int c = getopt_long(argc_, argv_, short_options_.c_str(), long_options_, nullptr);
    if (c == ':') {
        misuse(std::string{"missing argument for option '"} + argv_[optind - 1] + "'");
        return kBad;
    }
    if (c == 'h' && where_ == Options::anywhere) { // else it is the program's
        print_command_help(argv_[0]);
        std::exit(answered(kSuccess));
    }
    if (c == '?') {
        misuse(std::string{"unrecognized option '"} + argv_[optind - 1] + "'");
        return kBad;
    }
    return c;
}

std::span<char*> OptionReader::operands() const
{
    return {argv_ + optind, static_cast<std::size_t>(argc_ - optind)};
}

bool parse_output(const char* value, Output& output)
{
    if (std::strcmp(value, "json") == 0) {
        output = Output::json;
    } else if (std::strcmp(value, "human") == 0) {
        output = Output::human;
    } else {
        report("--output must be used with human or json as argument.");
        return false;
    }
    return true;
}

void parse_settings(std::string_view text, CreateSettings& settings, bool& help)
{
    while (!text.empty()) {
        std::string part;
        std::size_t i = 0;
        for (; i < text.size(); ++i) {
            if (text[i] == ',') {
                if (i + 1 == text.size() || text[i + 1] != ',') {
                    break;
                }
                ++i; // a doubled comma stands for one
            }
            part += text[i];
        }
        text.remove_prefix(std::min(i + 1, text.size()));
        const std::size_t equals = part.find('=');
        if (part == "help" || part == "?") {
            help = true;
        } else if (equals != std::string::npos) {
            settings.emplace_back(part.substr(0, equals), part.substr(equals + 1));
        } else if (part.starts_with("no") && part != "nocow") {
            settings.emplace_back(part.substr(2), "off");
        } else if (!part.empty()) {
            settings.emplace_back(part, "on");
        }
    }
}

void print_option(const CreateOption& option)
{
    std::string head{option.name};
    head += '=';
    head += type_text(option.type);
    std::printf("  %-22s - %.*s\n", head.c_str(), static_cast<int>(option.help.size()),
                option.help.data());
}

bool take_settings(std::string_view text, CreateSettings& settings, bool& help)
{
    const std::size_t trailing = text.size() - (text.find_last_not_of(',') + 1);
    const bool leading = text.starts_with(',') && !text.starts_with(",,");
    if (text.empty() || leading || trailing % 2 != 0) {
        report(std::string{"Invalid option list: "} + std::string{text});
        return false;
    }
    parse_settings(text, settings, help);
    return true;
}

int print_create_options(const FormatDriver& format, bool has_file)
{
    if (format.create == nullptr) {
        return report("Format driver '" + std::string{format.name} +
                      "' does not support image creation");
    }
    std::vector<CreateOption> options{format.create_options.begin(), format.create_options.end()};
    if (has_file) {
        options = with_file_options(format);
    }
    std::ranges::sort(options, {}, &CreateOption::name);
    if (has_file) {
        std::puts("Supported options:");
    } else {
        std::printf("Supported %s options:\n", format.name.data());
    }
    for (const CreateOption& option : options) {
        print_option(option);
    }
    if (!has_file) {
        std::puts("\nThe protocol level may support further options.\n"
                  "Specify the target filename to include those options.");
    }
    return kSuccess;
}

bool is_cache_mode(std::string_view name)
{
    constexpr std::array<std::string_view, 6> kModes{"none",         "off",        "writeback",
                                                     "writethrough", "directsync", "unsafe"};
    return std::ranges::find(kModes, name) != kModes.end();
}

} // namespace img::cli
