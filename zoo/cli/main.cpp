// zoo: the command line.

#include "base/output.hpp"
#include "base/process.hpp"
#include "zoo/cli/commands.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <functional>
#include <map>

namespace {

using namespace zoo::cli;

/// What each sub-command runs once the line was parsed; options live as long as the program.
struct Options {
    Common common;
    std::vector<std::string> names;
    std::string name;
    FetchCommand fetch;
    CollectCommand collect;
    BootCommand boot;
    TestCommand test;
    std::map<const CLI::App*, std::function<int()>> actions;
};

CLI::App* add_command(CLI::App& app, Options& options, const char* name, const char* help,
                      std::function<int()> action)
{
    CLI::App* command = app.add_subcommand(name, help);
    command->add_flag("--json", options.common.json, "print JSON");
    options.actions[command] = std::move(action);
    return command;
}

void add_recipe_commands(CLI::App& app, Options& o)
{
    add_command(app, o, "list", "list the recipes", [&] { return list_recipes(o.common); });
    add_command(app, o, "search", "list the recipes that have all the words",
                [&] {
                    std::string words;
                    for (const std::string& word : o.names) {
                        words += (words.empty() ? "" : " ") + word;
                    }
                    return search_recipes(o.common, words);
                })
        ->add_option("WORD", o.names)
        ->required();
    add_command(app, o, "info", "show a recipe", [&] { return show_recipe(o.common, o.name); })
        ->add_option("NAME", o.name)
        ->required();
    add_command(app, o, "check", "check recipes; without a FILE, all", [&] {
        return check_recipes(o.common, o.names);
    })->add_option("FILE", o.names);
}

void add_store_commands(CLI::App& app, Options& o)
{
    CLI::App* fetch = add_command(app, o, "fetch", "download and verify the media of recipes",
                                  [&] { return fetch_recipes(o.common, o.fetch); });
    fetch->add_option("NAME", o.fetch.names);
    fetch->add_flag("--all", o.fetch.all, "of every recipe");
    fetch->add_flag("--offline", o.common.offline, "use what is on this machine only");
    add_command(app, o, "add", "put files into the store and print their digests",
                [&] { return add_files(o.common, o.names); })
        ->add_option("FILE", o.names)
        ->required();
    add_command(app, o, "verify", "read every object of the store again",
                [&] { return verify_store(o.common); });
    CLI::App* collect = add_command(app, o, "gc", "remove what no recipe and no machine needs",
                                    [&] { return collect_garbage(o.common, o.collect); });
    collect->add_flag("--dry-run", o.collect.dry_run, "only say what would go");
    collect->add_flag("--all", o.collect.all, "keep only what machines use");
}

void add_machine_commands(CLI::App& app, Options& o)
{
    CLI::App* boot = add_command(app, o, "boot", "fetch, make a machine and run it",
                                 [&] { return boot_machine(o.common, o.boot); });
    boot->add_option("NAME", o.boot.name, "a recipe, or an OS for its default recipe")->required();
    boot->add_flag("--fresh", o.boot.fresh, "throw away what the machine wrote before");
    boot->add_flag("--ephemeral", o.boot.ephemeral, "throw away what this run writes");
    boot->add_flag("--headless", o.boot.headless, "no window; the terminal is the serial port");
    boot->add_flag("--print-command", o.boot.print_command, "prepare all, print, do not run");
    boot->add_flag("--offline", o.common.offline, "use what is on this machine only");
    boot->add_option("ARGUMENT", o.boot.extra, "after --: further options of the emulator");

    CLI::App* test = add_command(app, o, "test", "run the [run] steps of recipes and judge",
                                 [&] { return test_recipes(o.common, o.test); });
    test->add_option("NAME", o.test.names);
    test->add_flag("--all", o.test.all, "every recipe");
    test->add_flag("--offline", o.common.offline, "use what is on this machine only");
    test->add_option("--report", o.test.report, "folder for the reports");
    test->add_option("--emulator-option", o.test.extra, "a further option of the emulator")
        ->allow_extra_args(false);

    add_command(app, o, "reset", "make the machine of a recipe anew",
                [&] { return reset_machine(o.common, o.name); })
        ->add_option("NAME", o.name)
        ->required();
    add_command(app, o, "rm", "remove the machines of recipes",
                [&] { return remove_machines(o.common, o.names); })
        ->add_option("NAME", o.names)
        ->required();
}

int print_help(const CLI::App& app, const std::string& name)
{
    const auto commands =
        app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
    if (commands.empty() && !name.empty()) {
        base::print(stderr, "zoo: there is no command '{}'; `zoo help` lists them\n", name);
        return kMisused;
    }
    const CLI::App& subject = name.empty() ? app : *commands.front();
    // Not app.help(), which would be that of this command.
    base::put(stdout, app.get_formatter()->make_help(&subject, name.empty() ? "zoo" : "zoo " + name,
                                                     CLI::AppFormatMode::Normal));
    return kDone;
}

int run(int argc, char** argv)
{
    CLI::App app{"Fetches, verifies, boots and tests the operating systems of the recipes.", "zoo"};
    app.require_subcommand(1);
    app.footer("Exit status: 0 done, 1 it did not succeed, 2 wrong command line or recipe; `boot`\n"
               "ends with the emulator's. Environment: ZOO_MIRROR, ZOO_RECIPES, XDG_DATA_HOME,\n"
               "MENAGERIE_EMULATOR. See docs/zoo.md.");
    Options options;
    add_recipe_commands(app, options);
    add_store_commands(app, options);
    add_machine_commands(app, options);
    CLI::App* help = app.add_subcommand("help", "tell of a command, or of all");
    help->add_option("COMMAND", options.name);
    options.actions[help] = [&] { return print_help(app, options.name); };
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kDone : kMisused;
    }
    return options.actions.at(app.get_subcommands().front())();
}

} // namespace

int main(int argc, char** argv)
{
    base::secure_process();
    const int status = run(argc, argv);
    return base::finish_answer("zoo") ? status : std::max(status, kFailed);
}
