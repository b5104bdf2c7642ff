// The commands of zoo, one function each. Each returns the program's exit status and does all
// printing.
#pragma once

#include <string>
#include <vector>

namespace zoo::cli {

/// Exit statuses; docs/zoo.md lists them for users.
constexpr int kDone = 0;
constexpr int kFailed = 1;  // what was asked for did not succeed
constexpr int kMisused = 2; // wrong command line or recipe; nothing was done

struct Common {
    bool json = false;
    bool offline = false;
};

int list_recipes(const Common& common);
int search_recipes(const Common& common, const std::string& words);
int show_recipe(const Common& common, const std::string& name);
int check_recipes(const Common& common, const std::vector<std::string>& names);

struct FetchCommand {
    std::vector<std::string> names;
    bool all = false;
};
int fetch_recipes(const Common& common, const FetchCommand& command);
int add_files(const Common& common, const std::vector<std::string>& files);
int verify_store(const Common& common);

struct CollectCommand {
    bool dry_run = false;
    bool all = false; // also what recipes want but no machine uses
};
int collect_garbage(const Common& common, const CollectCommand& command);

struct BootCommand {
    std::string name;
    bool fresh = false;
    bool ephemeral = false;
    bool headless = false;
    bool print_command = false;
    std::vector<std::string> extra; // for the emulator
};
int boot_machine(const Common& common, const BootCommand& command);

struct TestCommand {
    std::vector<std::string> names;
    bool all = false;
    std::string report; // folder
    std::vector<std::string> extra;
};
int test_recipes(const Common& common, const TestCommand& command);

int remove_machines(const Common& common, const std::vector<std::string>& names);
int reset_machine(const Common& common, const std::string& name);

} // namespace zoo::cli
