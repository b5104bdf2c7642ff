#include "zoo/unpack/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fnmatch.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace zoo {

using base::Errc;
using base::Result;
using base::Status;
using base::u64;
using base::u8;

namespace {

using namespace base;

// Limits of the search for a member; the member itself is bounded by the recipe's member_size.
constexpr u64 kMaxEntries = 1'000'000;
constexpr u64 kMaxSkippedSize = 16_GiB; // claimed size of an entry that is passed over
constexpr u64 kMaxRatio = 1000;         // unpacked to packed bytes, beyond kRatioFree
constexpr u64 kRatioFree = 64_MiB;
constexpr std::size_t kBlockSize = 256 * 1024;

using Archive = std::unique_ptr<archive, int (*)(archive*)>;

struct Format {
    UnpackKind kind;
    int (*enable)(archive*);
};

int enable_gzip(archive* a)
{
    return archive_read_support_filter_gzip(a);
}
int enable_bzip2(archive* a)
{
    return archive_read_support_filter_bzip2(a);
}
int enable_xz(archive* a)
{
    return archive_read_support_filter_xz(a);
}
int enable_zstd(archive* a)
{
    return archive_read_support_filter_zstd(a);
}
int enable_zip(archive* a)
{
    return archive_read_support_format_zip(a);
}
int enable_7zip(archive* a)
{
    return archive_read_support_format_7zip(a);
}
int enable_iso(archive* a)
{
    return archive_read_support_format_iso9660(a);
}
int enable_deb(archive* a)
{
    return archive_read_support_format_ar(a);
}

// Filters of a tar; never those that run a program.
int enable_tar(archive* a)
{
    enable_gzip(a);
    enable_bzip2(a);
    enable_xz(a);
    enable_zstd(a);
    return archive_read_support_format_tar(a);
}

constexpr std::array kFormats{
    Format{{"gz", UnpackShape::stream}, enable_gzip},
    Format{{"bz2", UnpackShape::stream}, enable_bzip2},
    Format{{"xz", UnpackShape::stream}, enable_xz},
    Format{{"zst", UnpackShape::stream}, enable_zstd},
    Format{{"zip", UnpackShape::members}, enable_zip},
    Format{{"7z", UnpackShape::members}, enable_7zip},
    Format{{"tar", UnpackShape::members}, enable_tar},
    Format{{"tar.gz", UnpackShape::members}, enable_tar},
    Format{{"tar.bz2", UnpackShape::members}, enable_tar},
    Format{{"tar.xz", UnpackShape::members}, enable_tar},
    Format{{"tar.zst", UnpackShape::members}, enable_tar},
    Format{{"iso", UnpackShape::members}, enable_iso},
    Format{{"deb", UnpackShape::members}, enable_deb},
};

constexpr auto kKinds = [] {
    std::array<UnpackKind, kFormats.size()> kinds{};
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        kinds[i] = kFormats[i].kind;
    }
    return kinds;
}();

Error archive_error(archive* a)
{
    const char* text = archive_error_string(a);
    return fail(Errc::corrupt, text != nullptr ? text : "broken archive");
}

Error too_big(u64 limit)
{
    return fail(Errc::corrupt, "unpacks to more than the " + std::to_string(limit) +
                                   " bytes that the recipe names");
}

Archive new_reader()
{
    return Archive{archive_read_new(), archive_read_free};
}

/// Feeds the current entry's data, holes as zeros, up to `limit` bytes.
Status copy_entry(archive* a, u64 limit, const Sink& sink)
{
    std::vector<u8> block(kBlockSize);
    u64 total = 0;
    while (true) {
        const la_ssize_t got = archive_read_data(a, block.data(), block.size());
        if (got < 0) {
            return archive_error(a);
        }
        if (got == 0) {
            return ok();
        }
        total += static_cast<u64>(got);
        if (total > limit) {
            return too_big(limit);
        }
        auto taken = sink({block.data(), static_cast<std::size_t>(got)});
        if (!taken) {
            return taken;
        }
    }
}

std::string_view without_dot(std::string_view path)
{
    while (path.starts_with("./")) {
        path.remove_prefix(2);
    }
    return path;
}

/// Checks what an entry claims before it is passed over or unpacked.
Status check_entry(archive* a, archive_entry* entry, u64 number)
{
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr) {
        return fail(Errc::corrupt, "an entry's name cannot be read");
    }
    if (!is_inside_path(name)) {
        return fail(Errc::corrupt, std::string{"hostile path in the archive: "} + name);
    }
    if (number > kMaxEntries) {
        return fail(Errc::corrupt, "more than " + std::to_string(kMaxEntries) + " entries");
    }
    if (archive_entry_size_is_set(entry) &&
        static_cast<u64>(archive_entry_size(entry)) > kMaxSkippedSize) {
        return fail(Errc::corrupt, std::string{"absurd size of "} + name);
    }
    const auto packed = static_cast<u64>(archive_filter_bytes(a, -1));
    const auto unpacked = static_cast<u64>(archive_filter_bytes(a, 0));
    if (unpacked > kRatioFree && (unpacked - kRatioFree) / kMaxRatio > packed) {
        return fail(Errc::corrupt, "unpacks to more than 1000 times its size");
    }
    return ok();
}

/// Goes to the entry that matches and feeds it. The archive must be open.
Status copy_member(archive* a, std::string_view member, u64 limit, const Sink& sink)
{
    for (u64 number = 1;; ++number) {
        archive_entry* entry = nullptr;
        const int status = archive_read_next_header(a, &entry);
        if (status == ARCHIVE_EOF) {
            return fail(Errc::corrupt, "no member matches " + std::string{member});
        }
        if (status < ARCHIVE_WARN) {
            return archive_error(a);
        }
        auto sane = check_entry(a, entry, number);
        if (!sane) {
            return sane;
        }
        const std::string_view name = without_dot(archive_entry_pathname(entry));
        if (!matches_glob(member, name)) {
            continue;
        }
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
            return fail(Errc::corrupt, std::string{name} + " is not a plain file");
        }
        if (archive_entry_size_is_set(entry) &&
            static_cast<u64>(archive_entry_size(entry)) > limit) {
            return too_big(limit);
        }
        return copy_entry(a, limit, sink);
    }
}

// The inner archive of a .deb reads its bytes from the outer one's current entry.
struct Inner {
    archive* outer;
    std::vector<u8> block = std::vector<u8>(kBlockSize);
};

la_ssize_t read_inner(archive* a, void* client, const void** data)
{
    auto* inner = static_cast<Inner*>(client);
    const la_ssize_t got =
        archive_read_data(inner->outer, inner->block.data(), inner->block.size());
    if (got < 0) {
        archive_set_error(a, EIO, "broken data in the package");
        return -1;
    }
    *data = inner->block.data();
    return got;
}

/// deb(5): an ar archive whose member data.tar, data.tar.gz, .xz or .zst holds the files.
Status copy_deb_member(archive* outer, const UnpackRequest& request, const Sink& sink)
{
    archive_entry* entry = nullptr;
    while (archive_read_next_header(outer, &entry) == ARCHIVE_OK) {
        const char* name = archive_entry_pathname(entry);
        if (name == nullptr || !std::string_view{name}.starts_with("data.tar")) {
            continue;
        }
        Inner inner{outer};
        Archive tar = new_reader();
        enable_tar(tar.get());
        if (archive_read_open(tar.get(), &inner, nullptr, read_inner, nullptr) != ARCHIVE_OK) {
            return archive_error(tar.get());
        }
        return copy_member(tar.get(), request.member, request.max_size, sink);
    }
    return fail(Errc::corrupt, "not a Debian package: no data.tar in it");
}

} // namespace

std::span<const UnpackKind> unpack_kinds()
{
    return kKinds;
}

const UnpackKind* find_unpack_kind(std::string_view name)
{
    for (const UnpackKind& kind : kKinds) {
        if (kind.name == name) {
            return &kind;
        }
    }
    return nullptr;
}

bool is_inside_path(std::string_view path)
{
    if (path.empty() || path.front() == '/' || path.find('\\') != path.npos ||
        path.find('\0') != path.npos) {
        return false;
    }
    while (!path.empty()) {
        const std::size_t slash = std::min(path.find('/'), path.size());
        if (path.substr(0, slash) == "..") {
            return false;
        }
        path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return true;
}

bool matches_glob(std::string_view pattern, std::string_view path)
{
    return ::fnmatch(std::string{pattern}.c_str(), std::string{path}.c_str(), FNM_PATHNAME) == 0;
}

Status unpack(const UnpackRequest& request, const Sink& sink)
{
    const Format* format = nullptr;
    for (const Format& candidate : kFormats) {
        if (candidate.kind.name == request.kind) {
            format = &candidate;
        }
    }
    if (format == nullptr) {
        return fail(Errc::unsupported, "unpack = " + std::string{request.kind});
    }
    Archive reader = new_reader();
    format->enable(reader.get());
    if (format->kind.shape == UnpackShape::stream) {
        archive_read_support_format_raw(reader.get());
    }
    if (archive_read_open_filename(reader.get(), request.archive.c_str(), kBlockSize) !=
        ARCHIVE_OK) {
        return archive_error(reader.get());
    }
    if (format->kind.name == "deb") {
        return copy_deb_member(reader.get(), request, sink);
    }
    if (format->kind.shape == UnpackShape::members) {
        return copy_member(reader.get(), request.member, request.max_size, sink);
    }
    archive_entry* entry = nullptr;
    if (archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK) {
        return archive_error(reader.get());
    }
    // With no filter recognised, libarchive would hand the packed bytes through.
    if (archive_filter_count(reader.get()) < 2) {
        return fail(Errc::corrupt, "not compressed as " + std::string{request.kind});
    }
    return copy_entry(reader.get(), request.max_size, sink);
}

} // namespace zoo
