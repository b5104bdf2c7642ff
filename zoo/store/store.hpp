// The content-addressed store: verified, read-only files named by their SHA-256.
//
//   <root>/sha256/<digest>       objects, mode 0444; a folder of the form that ZOO_MIRROR names
//   <root>/partial/<name>        what is being received, and its lock
//
// Nothing gets its final name before its digest was checked and its bytes were flushed to disk, so
// an object that is there is right, whatever was killed or pulled out when.
#pragma once

#include "zoo/store/partial_file.hpp"

#include <optional>
#include <string>
#include <vector>

namespace zoo {

/// What a received file must be. An empty digest takes any content.
struct Expectation {
    std::string sha256;
    std::optional<base::u64> size; // bytes
};

class Store {
public:
    /// Creates the folders when they are not there.
    static base::Result<Store> open(std::filesystem::path root);

    bool has(std::string_view sha256) const;
    std::filesystem::path path_of(std::string_view sha256) const;
    std::filesystem::path partial_path(std::string_view name) const;

    /// Bytes of the object, if it is there.
    std::optional<base::u64> size_of(std::string_view sha256) const;

    /// Only the holder of the lock may write the partial file of that name.
    base::Result<FileLock> lock(std::string_view name, const std::function<void()>& on_wait) const;

    /// A partial file under a name that no other process uses, for content of unknown digest.
    base::Result<PartialFile> temporary() const;

    /// Checks size and digest and gives the file its final name. On a mismatch the file is removed
    /// and the error is `corrupt`. Returns the digest.
    base::Result<std::string> adopt(PartialFile file, const Expectation& expected) const;

    /// The digests of all objects, in ascending order.
    std::vector<std::string> objects() const;
    base::Status remove(std::string_view sha256) const;

    /// Reads the object again. Error `corrupt` when its content does not have its digest.
    base::Status verify(std::string_view sha256) const;

    /// Removes what dead processes left behind. Returns the number of files removed.
    int remove_stale_partials() const;

private:
    explicit Store(std::filesystem::path root) : root_{std::move(root)} {}
    std::filesystem::path root_;
};

/// $XDG_DATA_HOME/zoo, or ~/.local/share/zoo.
base::Result<std::filesystem::path> default_data_folder();

} // namespace zoo
