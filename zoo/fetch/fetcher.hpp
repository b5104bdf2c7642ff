// Brings the media of recipes into the store: from the store itself, from the mirror, from the
// URLs.
#pragma once

#include "zoo/fetch/deb_archive.hpp"
#include "zoo/fetch/http.hpp"
#include "zoo/fetch/progress.hpp"
#include "zoo/recipe/recipe.hpp"
#include "zoo/store/store.hpp"

#include <map>
#include <string>

namespace zoo {

enum class Network { allowed, offline };

struct FetchOptions {
    Network network = Network::allowed;
    std::string mirror; // ZOO_MIRROR: a folder or URL with objects by digest, or empty
    HttpOptions http;
    DebOptions deb;
};

/// A medium that is in the store.
struct FetchedMedia {
    std::string sha256;
    base::u64 size = 0;
    std::string version; // not empty: not the pinned one but this newer version, by signature
};

/// By name of the media.
using FetchedSet = std::map<std::string, FetchedMedia, std::less<>>;

class Fetcher {
public:
    /// `data` is the zoo's folder; the store is in it.
    Fetcher(const Store& store, std::filesystem::path data, FetchOptions options,
            Progress& progress);

    /// All media of the recipe, several at once. The error names each that failed, and why every
    /// source of it did.
    base::Result<FetchedSet> fetch(const Recipe& recipe);

    base::Result<FetchedMedia> fetch_media(const Recipe& recipe, const Media& media);

private:
    struct Task;
    struct Object {
        std::string sha256;
        base::u64 size; // bytes
    };
    base::Status adopt(PartialFile file, const Object& object) const;
    base::Status fetch_pinned(const Media& media, Task& task);
    base::Status fetch_archive(const Media& media, Task& task);
    base::Status from_mirror(std::string_view sha256, base::u64 size, Task& task);
    base::Status from_mirror_folder(const std::string& plain, const Object& object, Task& task);
    base::Status from_remote_mirror(const std::string& plain, const Object& object, Task& task);
    base::Status from_url(const std::string& url, const Media& media, Task& task);
    base::Status from_deb(const std::string& url, const Media& media, Task& task);
    base::Status from_chunks(const Media& media, Task& task);
    base::Status unpack_member(const Media& media, Task& task);
    base::Result<FetchedMedia> fetch_current(const Recipe& recipe, const Media& media, Task& task);
    std::filesystem::path current_record(const Recipe& recipe, const Media& media) const;

    const Store& store_;
    std::filesystem::path data_;
    FetchOptions options_;
    Progress& progress_;
};

} // namespace zoo
