// Making images.
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/open.hpp"
#include "imgtool/source/file_source.hpp"
#include "imgtool/source/growing_source.hpp"

#include <fmt/format.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

/// The size of a backing file, which is opened to see that it is there and good.
Result<u64> backing_size(const std::string& path, const Qcow2CreateOptions& options)
{
    auto resolved = resolve_backing(path, options.backing_file);
    if (!resolved) {
        return std::move(resolved).error();
    }
    auto disk = open_disk({.path = resolved.value(),
                           .format = options.backing_format,
                           .backing = {.trust_probed = true, .trust_data_files = true}});
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
    using Preallocation = RawCreateOptions::Preallocation;
    const Preallocate how = options.preallocation == Preallocation::full     ? Preallocate::write
                            : options.preallocation == Preallocation::falloc ? Preallocate::reserve
                                                                             : Preallocate::none;
    if (auto done = preallocate(*file.value(), FileOffset{0}, options.size, how); !done) {
        return done;
    }
    return file.value()->resize(options.size);
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
    if (auto good = qcow2::check_parameters(parameters); !good) {
        return good;
    }
    auto file = FileSource::create(path);
    if (!file) {
        return std::move(file).error();
    }
    return make_in_empty(*file.value(),
                         [&](ByteSource& empty) { return qcow2::create(empty, parameters); });
}

} // namespace img
