#include "imgtool/ops/file_options.hpp"

#include <algorithm>
#include <array>

namespace img {

namespace {

using base::Errc;
using base::fail;
using Type = CreateOption::Type;

constexpr std::array kFileOptions{
    CreateOption{"nocow", Type::boolean, "Turn off copy-on-write (valid only on btrfs)"},
    CreateOption{"preallocation", Type::text,
                 "Preallocation mode (allowed values: off, falloc, full)"},
    CreateOption{"extent_size_hint", Type::size,
                 "Extent size hint for the image file, 0 to disable"},
};

} // namespace

std::vector<CreateOption> with_file_options(const FormatDriver& format)
{
    std::vector<CreateOption> options{format.create_options.begin(), format.create_options.end()};
    for (const CreateOption& option : kFileOptions) {
        const bool known = std::ranges::find(format.create_options, option.name,
                                             &CreateOption::name) != format.create_options.end();
        if (format.create != nullptr && !known) {
            options.push_back(option);
        }
    }
    return options;
}

Status check_file_options(const FormatDriver& format, const CreateSettings& completed)
{
    for (const auto& [name, how] : completed) {
        if (name != "preallocation" || format.preallocates || how == "off" || how == "falloc" ||
            how == "full") { // an empty file has nothing to preallocate
            continue;
        }
        return fail(Errc::invalid_argument, how == "metadata"
                                                ? "Unsupported preallocation mode: metadata"
                                                : "invalid parameter value: " + how);
    }
    return base::ok();
}

void apply_file_options(FileSource& file, const CreateSettings& completed)
{
    // extent_size_hint is for XFS; files written in large pieces do not need it.
    for (const auto& [name, value] : completed) {
        if (name == "nocow" && value == "on") {
            file.avoid_copy_on_write();
        }
    }
}

} // namespace img
