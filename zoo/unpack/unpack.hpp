// Takes one file out of an archive, or undoes a compression, within stated limits.
//
// Archives come from the network: sizes in their headers are claims, their paths are never used on
// the host, and what comes out is bounded before it is written.
#pragma once

#include "zoo/host/file.hpp"

#include <span>
#include <string_view>

namespace zoo {

struct UnpackRequest {
    std::filesystem::path archive;
    std::string_view kind;   // one of unpack_kinds()
    std::string_view member; // path or glob that must match exactly one file; empty for streams
    base::u64 max_size;      // bytes that may come out
};

enum class UnpackShape { stream, members };

struct UnpackKind {
    std::string_view name;
    UnpackShape shape;
};

/// Everything that `unpack` of a recipe may say.
std::span<const UnpackKind> unpack_kinds();
const UnpackKind* find_unpack_kind(std::string_view name);

/// Feeds the contents to the sink. Errors: `corrupt` (broken, bomb, hostile path, no such member,
/// not a plain file), `io`.
base::Status unpack(const UnpackRequest& request, const Sink& sink);

/// Whether the path, inside an archive or a recipe, stays inside its folder: relative, no "..".
bool is_inside_path(std::string_view path);

/// Shell-like pattern: `*` and `?` do not match '/'.
bool matches_glob(std::string_view pattern, std::string_view path);

} // namespace zoo
