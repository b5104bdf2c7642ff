#include "imgtool/source/fault_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

namespace img {

namespace {

using base::Errc;
using base::fail;
using base::Result;

constexpr std::size_t kMaxFile = 1 << 20; // bytes
constexpr std::string_view kSpace = " \t\r";

struct Section {
    std::string_view name;
    std::array<std::string_view, 7> keys;
    unsigned count = 0; // of such sections so far
};
constexpr std::array kSections{
    Section{"inject-error", {"event", "state", "iotype", "errno", "sector", "once", "immediately"}},
    Section{"set-state", {"event", "state", "new_state"}},
};

Result<std::string> read_text(const std::string& path)
{
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "re"),
                                                               std::fclose};
    if (!file) {
        return fail(Errc::io,
                    fmt::format("Could not read blkdebug config file: {}", std::strerror(errno)));
    }
    std::string text(kMaxFile + 1, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file.get()));
    if (std::ferror(file.get()) != 0) {
        return fail(Errc::io, fmt::format("Cannot read config file: {}", std::strerror(errno)));
    }
    if (text.size() > kMaxFile) {
        return fail(Errc::io, "Cannot read config file: File too large");
    }
    return text;
}

/// `key = "value"`; what is not in quotes is empty.
std::pair<std::string_view, std::string_view> split(std::string_view line)
{
    line.remove_prefix(std::min(line.find_first_not_of(kSpace), line.size()));
    const std::string_view key = line.substr(0, line.find_first_of(kSpace));
    line.remove_prefix(key.size());
    constexpr std::string_view kQuote = "\"";
    const std::size_t begin = line.find(kQuote);
    const bool quoted = begin != std::string_view::npos &&
                        line.substr(0, begin).find_first_not_of(" \t\r=") == std::string_view::npos;
    const std::string_view value = quoted ? line.substr(begin + 1) : std::string_view{};
    return {key, value.substr(0, value.find(kQuote))};
}

class Reader {
public:
    /// Nothing more than one line, without its end.
    base::Status take(std::string_view line)
    {
        if (line.empty() || line.front() == '#') {
            return base::ok();
        }
        if (line.front() == '[') {
            const bool whole = line.find(']') != std::string_view::npos;
            return whole ? begin(line.substr(1, line.find_first_of(" ]") - 1))
                         : begin(std::string{line.substr(1)} + '\n'); // as QEMU reads it
        }
        if (section_ == nullptr) {
            return fail(Errc::invalid_argument, "no group defined");
        }
        const auto [key, value] = split(line);
        if (key.empty()) {
            return base::ok();
        }
        if (std::ranges::find(section_->keys, key) == section_->keys.end()) {
            return fail(Errc::invalid_argument, fmt::format("Invalid parameter '{}'", key));
        }
        options_.set(prefix() + std::string{key}, std::string{value});
        empty_ = false;
        return base::ok();
    }

    base::Status end()
    {
        // A section without lines is a rule all the same.
        return section_ != nullptr && empty_
                   ? fail(Errc::invalid_argument, "Missing event name for rule")
                   : base::ok();
    }
    node::Options options() { return std::move(options_); }

private:
    std::string prefix() const
    {
        return fmt::format("{}.{}.", section_->name, section_->count - 1);
    }

    base::Status begin(std::string_view name)
    {
        if (auto done = end(); !done) {
            return done;
        }
        const auto found = std::ranges::find(sections_, name, &Section::name);
        if (found == sections_.end()) {
            return fail(Errc::invalid_argument, fmt::format("There is no option group '{}'", name));
        }
        section_ = &*found;
        ++section_->count;
        empty_ = true;
        return base::ok();
    }

    std::array<Section, 2> sections_ = kSections;
    Section* section_ = nullptr; // the present one
    bool empty_ = false;         // it is, so far
    node::Options options_;
};

} // namespace

Result<node::Options> read_fault_config(const std::string& path)
{
    auto text = read_text(path);
    if (!text) {
        return std::move(text).error();
    }
    Reader reader;
    std::string_view left = text.value();
    while (!left.empty()) {
        const std::size_t end = std::min(left.find('\n'), left.size());
        if (auto done = reader.take(left.substr(0, end)); !done) {
            return std::move(done).error();
        }
        left.remove_prefix(std::min(end + 1, left.size()));
    }
    if (auto done = reader.end(); !done) {
        return std::move(done).error();
    }
    return reader.options();
}

} // namespace img
