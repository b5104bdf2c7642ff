// Making images.
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/open.hpp"
#include "imgtool/source/file_source.hpp"

#include <fmt/format.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

Status allocate(FileSource& file, u64 from, u64 to, bool write_zeroes)
{
    if (from >= to) {
        return base::ok();
    }
    if (!write_zeroes) {
        return file.reserve(FileOffset{from}, to - from);
    }
    const std::vector<u8> zeroes(u64{1} << 20);
    while (from < to) {
        const u64 n = std::min<u64>(to - from, zeroes.size());
        if (auto done = file.write(FileOffset{from}, std::span{zeroes}.first(n)); !done) {
            return done;
        }
        from += n;
    }
    return base::ok();
}

/// The size of a backing file, which is opened to see that it is there and good.
Result<u64> backing_size(const std::string& path, const Qcow2CreateOptions& options)
{
    auto resolved = resolve_backing(path, options.backing_file);
    if (!resolved) {
        return std::move(resolved).error();
    }
    auto disk = open_disk({.path = resolved.value(),
                           .format = options.backing_format,
                           .backing = {.trust_probed = true}});
    if (!disk) {
        return std::move(disk).error();
    }
    return disk.value()->size();
}

} // namespace

Status create_raw(const std::string& path, const RawCreateOptions& options)
{
    auto file = FileSource::create(path);
    if (!file) {
        return std::move(file).error();
    }
    using enum RawCreateOptions::Preallocation;
    if (options.preallocation == off) {
        return file.value()->resize(options.size);
    }
    if (auto done = allocate(*file.value(), 0, options.size, options.preallocation == full);
        !done) {
        return done;
    }
    return options.size == 0 ? base::ok() : file.value()->flush();
}

Status create_qcow2(const std::string& path, const Qcow2CreateOptions& options)
{
    u64 size = options.size;
    if (size == 0 && !options.backing_file.empty()) {
        auto found = backing_size(path, options);
        if (!found) {
            return std::move(found).error();
        }
        size = found.value();
    }
    using Preallocation = Qcow2CreateOptions::Preallocation;
    if (options.preallocation != Preallocation::off && !options.backing_file.empty()) {
        return fail(Errc::invalid_argument,
                    "Backing file and preallocation can only be used at the same time if "
                    "extended_l2 is enabled");
    }
    auto file = FileSource::create(path);
    if (!file) {
        return std::move(file).error();
    }
    const qcow2::CreateParameters parameters{
        .size = size,
        .version = static_cast<u32>(options.version),
        .cluster_size = options.cluster_size,
        .refcount_bits = options.refcount_bits,
        .lazy_refcounts = options.lazy_refcounts,
        .codec = options.zstd ? Codec::zstd : Codec::raw_deflate,
        .backing_name = options.backing_file,
        .backing_format = options.backing_format,
        .preallocation = static_cast<qcow2::CreateParameters::Preallocation>(options.preallocation),
    };
    if (auto made = qcow2::create(*file.value(), parameters); !made) {
        return made;
    }
    if (options.preallocation == Preallocation::falloc ||
        options.preallocation == Preallocation::full) {
        const u64 end = file.value()->size();
        if (auto done = allocate(*file.value(), end - std::min(end, size), end,
                                 options.preallocation == Preallocation::full);
            !done) {
            return done;
        }
    }
    return base::ok();
}

} // namespace img
