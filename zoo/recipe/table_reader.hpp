// Reads the keys of a TOML table by name and type, collecting problems; keys nobody asked for are
// problems too. Private to zoo/recipe: toml++ is a heavy header.
#pragma once

#include "zoo/recipe/parse.hpp"

#include <toml++/toml.h>

#include <initializer_list>
#include <set>
#include <span>

namespace zoo {

enum class Need { required, optional };

struct Range {
    base::i64 least;
    base::i64 most;
};

/// Lines of TOML nodes, 0 for what has none.
int line_of(const toml::node& node);

class TableReader {
public:
    /// `what` names the table in problems: "media 'disk'".
    TableReader(const toml::table& table, std::string what, std::vector<Problem>& problems);

    void rename(std::string what) { what_ = std::move(what); }
    const std::string& what() const { return what_; }
    int line() const { return line_; }
    bool has(std::string_view key) const { return table_.contains(key); }

    void problem(int line, std::string text);
    void problem_at(std::string_view key, std::string text);

    std::string text(std::string_view key, Need need);
    /// One of the words; the first when absent and optional.
    std::string word(std::string_view key, Need need, std::span<const std::string_view> words);
    std::optional<base::u64> integer(std::string_view key, Need need, Range range);
    bool flag(std::string_view key);
    std::vector<std::string> texts(std::string_view key, Need need);
    /// A digest in lower case.
    std::string digest(std::string_view key, Need need, std::size_t digits);

    /// Sub-table, or null.
    const toml::table* table(std::string_view key, Need need);
    /// The tables of an array of tables.
    std::vector<const toml::table*> tables(std::string_view key);
    /// Any node, or null.
    const toml::node* node(std::string_view key, Need need);

    /// Reports the keys that were not asked for.
    void finish();

private:
    const toml::table& table_;
    std::string what_;
    std::vector<Problem>& problems_;
    std::set<std::string, std::less<>> asked_;
    int line_;
};

} // namespace zoo
