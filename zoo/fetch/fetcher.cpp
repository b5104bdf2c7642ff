#include "zoo/fetch/fetcher.hpp"

#include "zoo/fetch/chunk_list.hpp"
#include "zoo/unpack/unpack.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <mutex>
#include <thread>

namespace zoo {

namespace fs = std::filesystem;
using base::Errc;
using base::Result;
using base::Status;
using base::u64;
using base::u8;

namespace {

constexpr std::size_t kMaxThreads = 4;
constexpr u64 kMaxRecordSize = 64 * 1024;
// zstd's worst case adds less than this to incompressible data (ZSTD_compressBound).
constexpr u64 kZstdOverhead = 64 * 1024;

bool is_http(std::string_view url)
{
    return url.starts_with("https://") || url.starts_with("http://");
}

} // namespace

/// One medium on its way, and what went wrong so far.
struct Fetcher::Task {
    const std::string& name;
    Progress& progress;
    std::string reasons;

    void reason(std::string_view source, const base::Error& error)
    {
        reasons += fmt::format("\n    {}: {}", source, error.message);
        progress.note(name, fmt::format("{}: {}", source, error.message));
    }

    /// Shows how far the file is, from now on.
    OnBytes watch(const PartialFile& file, const std::string& source) const
    {
        progress.advance(name, file.size(), source);
        return [this, source](u64 done) { progress.advance(name, done, source); };
    }

    /// A sink that writes to the file and shows it.
    Sink into(PartialFile& file, const std::string& source) const
    {
        progress.advance(name, file.size(), source);
        return [this, &file, source](std::span<const u8> bytes) {
            auto written = file.append(bytes);
            progress.advance(name, file.size(), source);
            return written;
        };
    }
};

Status Fetcher::adopt(PartialFile file, const Object& object) const
{
    auto adopted = store_.adopt(std::move(file), {object.sha256, object.size});
    return adopted ? base::ok() : Status{std::move(adopted).error()};
}

Fetcher::Fetcher(const Store& store, fs::path data, FetchOptions options, Progress& progress)
    : store_{store}, data_{std::move(data)}, options_{std::move(options)}, progress_{progress}
{}

Result<FetchedSet> Fetcher::fetch(const Recipe& recipe)
{
    FetchedSet fetched;
    std::string failures;
    std::mutex mutex;
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next++; i < recipe.media.size(); i = next++) {
            auto one = fetch_media(recipe, recipe.media[i]);
            const std::lock_guard guard{mutex};
            if (one) {
                fetched.emplace(recipe.media[i].name, one.value());
            } else {
                failures += (failures.empty() ? "" : "\n") + one.error().message;
            }
        }
    };
    {
        std::vector<std::jthread> threads;
        while (threads.size() + 1 < std::min(kMaxThreads, recipe.media.size())) {
            threads.emplace_back(work);
        }
        work();
    }
    if (!failures.empty()) {
        return base::fail(Errc::io, failures);
    }
    return fetched;
}

Result<FetchedMedia> Fetcher::fetch_media(const Recipe& recipe, const Media& media)
{
    const FetchedMedia pinned{media.final_sha256(), media.final_size(), {}};
    if (store_.has(pinned.sha256)) {
        return pinned;
    }
    Task task{media.name, progress_, {}};
    if (media.current) {
        auto record = read_text(current_record(recipe, media), kMaxRecordSize);
        const auto known = nlohmann::json::parse(record ? record.value() : "", nullptr, false);
        if (known.is_object() && known.value("instead_of", "") == pinned.sha256 &&
            store_.has(known.value("sha256", ""))) {
            const std::string digest = known.value("sha256", "");
            return FetchedMedia{digest, *store_.size_of(digest), known.value("version", "")};
        }
    }
    progress_.begin(media.name, media.unpack.empty() ? media.size : media.member_size);
    auto done = fetch_pinned(media, task);
    if (done) {
        progress_.end(media.name, fmt::format("{} verified, SHA-256 {}", format_size(pinned.size),
                                              pinned.sha256));
        return pinned;
    }
    if (media.current && options_.network == Network::allowed) {
        auto current = fetch_current(recipe, media, task);
        if (current) {
            return current;
        }
        task.reason("current version", current.error());
    }
    progress_.end(media.name, "failed");
    if (options_.network == Network::offline) {
        task.reasons += "\n    --offline: the network was not used";
    }
    return base::fail(Errc::io, fmt::format("'{}' of {} could not be had:{}", media.name, recipe.id,
                                            task.reasons));
}

Status Fetcher::fetch_pinned(const Media& media, Task& task)
{
    auto lock = store_.lock(media.final_sha256(), [&] {
        progress_.note(media.name, "another zoo is fetching it; waiting");
    });
    if (!lock) {
        return std::move(lock).error();
    }
    if (store_.has(media.final_sha256()) ||
        from_mirror(media.final_sha256(), media.final_size(), task)) {
        return base::ok();
    }
    if (media.unpack.empty()) {
        return fetch_archive(media, task);
    }
    auto archive_lock = store_.lock(media.sha256, [&] {
        progress_.note(media.name, "another zoo is fetching its archive; waiting");
    });
    if (!archive_lock) {
        return std::move(archive_lock).error();
    }
    if (!store_.has(media.sha256)) {
        progress_.begin(media.name, media.size);
        if (!from_mirror(media.sha256, media.size, task)) {
            auto fetched = fetch_archive(media, task);
            if (!fetched) {
                return fetched;
            }
        }
    }
    auto unpacked = unpack_member(media, task);
    if (!unpacked) {
        task.reason("unpacking", unpacked.error());
    }
    return unpacked;
}

Status Fetcher::fetch_archive(const Media& media, Task& task)
{
    for (const std::string& url : media.urls) {
        if (options_.network == Network::offline && !url.starts_with("file:")) {
            continue;
        }
        auto done = from_url(url, media, task);
        if (done) {
            return done;
        }
        task.reason(url, done.error());
    }
    if (media.chunks && options_.network == Network::allowed) {
        auto done = from_chunks(media, task);
        if (done) {
            return done;
        }
        task.reason(media.chunks->url, done.error());
    }
    if (media.state == MediaState::manual) {
        task.reasons += "\n    it cannot be downloaded: bring the file with `zoo add FILE`";
    }
    return base::fail(Errc::io, "no source has it");
}

Status Fetcher::from_mirror(std::string_view sha256, u64 size, Task& task)
{
    const Object object{std::string{sha256}, size};
    const bool remote = is_http(options_.mirror);
    if (options_.mirror.empty() || (remote && options_.network == Network::offline)) {
        return base::fail(Errc::io, "no mirror");
    }
    const std::string plain = fmt::format("{}/sha256/{}", options_.mirror, sha256);
    return remote ? from_remote_mirror(plain, object, task)
                  : from_mirror_folder(plain, object, task);
}

Status Fetcher::from_mirror_folder(const std::string& plain, const Object& object, Task& task)
{
    const std::string packed = plain + ".zst";
    const bool has_plain = fs::exists(plain);
    if (!has_plain && !fs::exists(packed)) {
        return base::fail(Errc::io, "the mirror does not have it");
    }
    auto file = PartialFile::open(store_.partial_path(object.sha256), OpenPartial::fresh);
    Status got = base::ok();
    if (!file) {
        got = file.error();
    } else if (has_plain) {
        got = read_file(plain, task.into(file.value(), plain));
    } else {
        got = unpack({packed, "zst", "", object.size}, task.into(file.value(), packed));
    }
    if (got) {
        got = adopt(std::move(file).value(), object);
    }
    if (!got) {
        task.reason(options_.mirror, got.error());
    }
    return got;
}

Status Fetcher::from_remote_mirror(const std::string& plain, const Object& object, Task& task)
{
    auto file = PartialFile::open(store_.partial_path(object.sha256), OpenPartial::resume);
    if (!file) {
        return std::move(file).error();
    }
    Status got = http_download({plain, object.size, object.size}, file.value(), options_.http,
                               task.watch(file.value(), plain));
    if (!got) {
        // Packed, its size is not known; it is bounded, and right when what comes out of it is.
        const fs::path packed = store_.partial_path(object.sha256 + ".zst");
        auto partial = PartialFile::open(packed, OpenPartial::resume);
        got = !partial ? Status{partial.error()}
                       : http_download({plain + ".zst", std::nullopt,
                                        object.size + object.size / 64 + kZstdOverhead},
                                       partial.value(), options_.http, [](u64) {});
        if (got && (got = file.value().restart())) {
            got = unpack({packed, "zst", "", object.size}, task.into(file.value(), plain + ".zst"));
        }
        if (got) {
            partial.value().discard();
        }
    }
    if (got) {
        got = adopt(std::move(file).value(), object);
    }
    if (!got) {
        task.reasons += fmt::format("\n    {}: {}", options_.mirror, got.error().message);
    }
    return got;
}

Status Fetcher::from_url(const std::string& url, const Media& media, Task& task)
{
    if (url.starts_with("deb:")) {
        return from_deb(url, media, task);
    }
    for (const OpenPartial how : {OpenPartial::resume, OpenPartial::fresh}) {
        auto file = PartialFile::open(store_.partial_path(media.sha256), how);
        if (!file) {
            return std::move(file).error();
        }
        const bool resumed = file.value().size() > 0;
        Status got = base::ok();
        if (is_http(url)) {
            got = http_download({url, media.size, media.size}, file.value(), options_.http,
                                task.watch(file.value(), url));
        } else {
            (void)file.value().restart();
            const fs::path path = url.substr(std::string_view{"file://"}.size());
            got = read_file(path, task.into(file.value(), url));
        }
        if (!got) {
            return got;
        }
        auto adopted = adopt(std::move(file).value(), {media.sha256, media.size});
        // What an earlier attempt left may have come from elsewhere: once more from the start.
        if (adopted || !resumed || adopted.error().code != Errc::corrupt) {
            return adopted;
        }
    }
    return base::fail(Errc::corrupt, "wrong content twice");
}

Status Fetcher::from_deb(const std::string& url, const Media& media, Task& task)
{
    const auto parsed = parse_deb_url(url);
    if (!parsed) {
        return base::fail(Errc::invalid_argument, "not the URL of a package");
    }
    progress_.note(task.name, fmt::format("from Debian's archive: {}", url));
    auto package = DebArchive{data_ / "apt", options_.deb}.download(
        *parsed, [&](const std::string& text) { progress_.note(task.name, text); });
    if (!package) {
        return std::move(package).error();
    }
    auto file = PartialFile::open(store_.partial_path(media.sha256), OpenPartial::fresh);
    Status got =
        file ? read_file(package.value().path, task.into(file.value(), url)) : Status{file.error()};
    std::error_code error;
    fs::remove(package.value().path, error);
    if (!got) {
        return got;
    }
    return adopt(std::move(file).value(), {media.sha256, media.size});
}

Status Fetcher::from_chunks(const Media& media, Task& task)
{
    auto file = PartialFile::open(store_.partial_path(media.sha256), OpenPartial::resume);
    if (!file) {
        return std::move(file).error();
    }
    auto got = download_chunks(*media.chunks, media.size, file.value(), options_.http,
                               task.watch(file.value(), media.chunks->url));
    if (!got) {
        return got;
    }
    return adopt(std::move(file).value(), {media.sha256, media.size});
}

Status Fetcher::unpack_member(const Media& media, Task& task)
{
    auto file = PartialFile::open(store_.partial_path(media.member_sha256), OpenPartial::fresh);
    if (!file) {
        return std::move(file).error();
    }
    progress_.begin(media.name, media.member_size);
    const std::string source = fmt::format("{} in {}", media.member, media.sha256);
    auto unpacked =
        unpack({store_.path_of(media.sha256), media.unpack, media.member, media.member_size},
               task.into(file.value(), source));
    if (!unpacked) {
        file.value().discard();
        return unpacked;
    }
    return adopt(std::move(file).value(), {media.member_sha256, media.member_size});
}

fs::path Fetcher::current_record(const Recipe& recipe, const Media& media) const
{
    return data_ / "current" / fmt::format("{}.{}.json", recipe.id, media.name);
}

Result<FetchedMedia> Fetcher::fetch_current(const Recipe& recipe, const Media& media, Task& task)
{
    const CurrentPackage& current = *media.current;
    const auto note = [&](const std::string& text) { progress_.note(task.name, text); };
    DebArchive archive{data_ / "apt", options_.deb};
    DebUrl url{current.package, {}, current.arch};
    if (!current.depends.empty()) {
        auto dependency = archive.dependency(url, current.depends, note);
        if (!dependency) {
            return std::move(dependency).error();
        }
        url.package = dependency.value();
    }
    auto package = archive.download(url, note);
    if (!package) {
        return std::move(package).error();
    }
    auto file = store_.temporary();
    Status got = file ? unpack({package.value().path, "deb", current.member, current.max_size},
                               task.into(file.value(), package.value().package))
                      : Status{file.error()};
    std::error_code error;
    fs::remove(package.value().path, error);
    if (!got) {
        return std::move(got).error();
    }
    auto digest = store_.adopt(std::move(file).value(), {});
    if (!digest) {
        return std::move(digest).error();
    }
    const std::string version = package.value().package + " " + package.value().version;
    const nlohmann::json record{
        {"instead_of", media.final_sha256()}, {"sha256", digest.value()}, {"version", version}};
    auto made = make_folder(current_record(recipe, media).parent_path());
    auto written = made ? write_text(current_record(recipe, media), record.dump(2) + "\n") : made;
    if (!written) {
        return std::move(written).error();
    }
    progress_.end(
        media.name,
        fmt::format("the pinned version cannot be had any more; using {}, verified by the "
                    "signature of Debian's archive (SHA-256 {})",
                    version, digest.value()));
    return FetchedMedia{digest.value(), *store_.size_of(digest.value()), version};
}

} // namespace zoo
