#include "zoo/store/store.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace zoo {

namespace fs = std::filesystem;
using base::Errc;
using base::Result;
using base::Status;
using base::u64;

namespace {

constexpr std::string_view kTemporaryPrefix = "tmp-";

base::Error mismatch(PartialFile& file, std::string message)
{
    file.discard();
    return base::fail(Errc::corrupt, std::move(message));
}

// Locks stay: a process may be waiting on the very file that would be removed.
bool remove_if_stale(const Store& store, const std::string& name)
{
    std::error_code error;
    if (name.ends_with(".lock")) {
        return false;
    }
    if (name.starts_with(kTemporaryPrefix)) {
        const int owner = std::atoi(name.c_str() + kTemporaryPrefix.size());
        return !(owner > 0 && fs::exists("/proc/" + std::to_string(owner))) &&
               fs::remove(store.partial_path(name), error);
    }
    const std::string stem = name.substr(0, name.find('.')); // <digest>[.from|.zst]
    const auto lock = FileLock::attempt(store.partial_path(stem + ".lock"));
    return lock && fs::remove(store.partial_path(name), error);
}

} // namespace

Result<Store> Store::open(fs::path root)
{
    for (const char* folder : {"sha256", "partial"}) {
        auto made = make_folder(root / folder);
        if (!made) {
            return std::move(made).error().in("making the store");
        }
    }
    return Store{std::move(root)};
}

bool Store::has(std::string_view sha256) const
{
    return size_of(sha256).has_value();
}

fs::path Store::path_of(std::string_view sha256) const
{
    return root_ / "sha256" / sha256;
}

fs::path Store::partial_path(std::string_view name) const
{
    return root_ / "partial" / name;
}

std::optional<u64> Store::size_of(std::string_view sha256) const
{
    std::error_code error;
    const auto size = fs::file_size(path_of(sha256), error);
    return error || sha256.empty() ? std::nullopt : std::optional<u64>{size};
}

Result<FileLock> Store::lock(std::string_view name, const std::function<void()>& on_wait) const
{
    return FileLock::wait(partial_path(std::string{name} + ".lock"), on_wait);
}

Result<PartialFile> Store::temporary() const
{
    static std::atomic<unsigned> counter{0}; // only makes names differ
    const std::string name = std::string{kTemporaryPrefix} + std::to_string(::getpid()) + "-" +
                             std::to_string(counter++);
    return PartialFile::open(partial_path(name), OpenPartial::fresh);
}

Result<std::string> Store::adopt(PartialFile file, const Expectation& expected) const
{
    auto digest = file.finish();
    if (!digest) {
        return digest;
    }
    if (expected.size && *expected.size != file.size()) {
        return mismatch(file, "wrong size: " + std::to_string(file.size()) + " bytes instead of " +
                                  std::to_string(*expected.size));
    }
    if (!expected.sha256.empty() && expected.sha256 != digest.value()) {
        return mismatch(file,
                        "wrong SHA-256: " + digest.value() + " instead of " + expected.sha256);
    }
    const fs::path final_path = path_of(digest.value());
    if (::chmod(file.path().c_str(), 0444) != 0 ||
        ::rename(file.path().c_str(), final_path.c_str()) != 0) {
        return system_error(final_path);
    }
    ::unlink(file.origin_path().c_str());
    auto synced = sync_path(final_path.parent_path());
    if (!synced) {
        return std::move(synced).error();
    }
    return digest;
}

std::vector<std::string> Store::objects() const
{
    std::vector<std::string> digests;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{root_ / "sha256", error}) {
        const std::string name = entry.path().filename();
        if (normalise_digest(name, kSha256Digits) == name) {
            digests.push_back(name);
        }
    }
    std::ranges::sort(digests);
    return digests;
}

Status Store::remove(std::string_view sha256) const
{
    if (::unlink(path_of(sha256).c_str()) != 0) {
        return system_error(path_of(sha256));
    }
    return base::ok();
}

Status Store::verify(std::string_view sha256) const
{
    auto digest = sha256_of_file(path_of(sha256));
    if (!digest) {
        return std::move(digest).error();
    }
    if (digest.value() != sha256) {
        return base::fail(Errc::corrupt,
                          path_of(sha256).string() + ": content has SHA-256 " + digest.value());
    }
    return base::ok();
}

int Store::remove_stale_partials() const
{
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{root_ / "partial", error}) {
        names.push_back(entry.path().filename());
    }
    int removed = 0;
    for (const std::string& name : names) {
        removed += remove_if_stale(*this, name) ? 1 : 0;
    }
    return removed;
}

Result<fs::path> default_data_folder()
{
    if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data == '/') {
        return fs::path{data} / "zoo";
    }
    if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
        return fs::path{home} / ".local/share/zoo";
    }
    return base::fail(Errc::invalid_argument, "neither XDG_DATA_HOME nor HOME names a folder");
}

} // namespace zoo
