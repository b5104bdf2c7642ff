#include "imgtool/fs/ext.hpp"
#include "imgtool/fs/fat.hpp"
#include "imgtool/fs/file_system.hpp"
#include "imgtool/fs/iso9660.hpp"
#include "imgtool/fs/recognize.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <strings.h>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;

constexpr int kMaxLinks = 40; // as Linux: path_resolution(7)
constexpr std::size_t kMaxParts = 4096;

void split_before(std::string_view path, std::deque<std::string>& parts)
{
    std::deque<std::string> found;
    while (!path.empty()) {
        const auto slash = std::min(path.find('/'), path.size());
        if (slash != 0) {
            found.emplace_back(path.substr(0, slash));
        }
        path.remove_prefix(std::min(slash + 1, path.size()));
    }
    parts.insert(parts.begin(), found.begin(), found.end());
}

const Entry* find_entry(const std::vector<Entry>& entries, const std::string& name,
                        bool ignore_case)
{
    const auto found = std::ranges::find(entries, name, &Entry::name);
    if (found != entries.end()) {
        return &*found;
    }
    const auto similar = std::ranges::find_if(entries, [&](const Entry& e) {
        return ignore_case && ::strcasecmp(e.name.c_str(), name.c_str()) == 0;
    });
    return similar != entries.end() ? &*similar : nullptr;
}

} // namespace

Result<std::unique_ptr<FileSystem>> open_file_system(const Volume& volume)
{
    using Open = Result<std::unique_ptr<FileSystem>> (*)(const Volume&);
    // Those with a signature of their own come first.
    static constexpr std::array<Open, 3> kOpen{open_iso9660, open_ext, open_fat};
    for (const Open open : kOpen) {
        auto opened = open(volume);
        if (opened || opened.error().code != Errc::wrong_format) {
            return opened;
        }
    }
    if (const std::string_view other = recognize(volume); !other.empty()) {
        return fail(Errc::unsupported, "not supported: " + std::string{other});
    }
    return fail(Errc::wrong_format,
                "no file system that is supported (ISO 9660, FAT, ext2/3/4) was found");
}

Result<Node> find(FileSystem& file_system, std::string_view path, bool follow_last)
{
    auto root = file_system.root();
    if (!root) {
        return std::move(root).error();
    }
    std::vector<Node> way{root.value()};
    std::deque<std::string> parts;
    split_before(path, parts);
    int links = 0;
    while (!parts.empty()) {
        const std::string part = std::move(parts.front());
        parts.pop_front();
        if (part == ".") {
            continue;
        }
        if (part == "..") {
            way.resize(std::max<std::size_t>(way.size() - 1, 1));
            continue;
        }
        if (way.back().kind != Kind::folder) {
            return fail(Errc::invalid_argument, "Not a directory");
        }
        auto listing = file_system.list(way.back());
        if (!listing) {
            return std::move(listing).error();
        }
        const Entry* entry = find_entry(listing.value().entries, part, file_system.ignores_case());
        if (entry == nullptr) {
            const std::string& problem = listing.value().problem;
            return problem.empty() ? fail(Errc::invalid_argument, "No such file or directory")
                                   : fail(Errc::corrupt, problem);
        }
        if (entry->node.kind != Kind::link || (parts.empty() && !follow_last)) {
            way.push_back(entry->node);
            continue;
        }
        auto target = file_system.target(entry->node);
        if (!target) {
            return std::move(target).error();
        }
        split_before(target.value(), parts);
        if (++links > kMaxLinks || parts.size() > kMaxParts) {
            return fail(Errc::invalid_argument, "Too many levels of symbolic links");
        }
        if (target.value().starts_with('/')) {
            way.resize(1);
        }
    }
    return way.back();
}

bool is_safe_name(std::string_view name)
{
    return !name.empty() && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

} // namespace img::fs
