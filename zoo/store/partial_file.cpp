#include "zoo/store/partial_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace zoo {

using base::Result;
using base::Status;
using base::u64;
using base::u8;

namespace {

// Holes are made in units of the usual file system block.
constexpr std::size_t kHoleUnit = 4096;

bool all_zero(std::span<const u8> bytes)
{
    return std::ranges::all_of(bytes, [](u8 byte) { return byte == 0; });
}

} // namespace

Result<PartialFile> PartialFile::open(std::filesystem::path path, OpenPartial how)
{
    const int flags = O_RDWR | O_CREAT | (how == OpenPartial::fresh ? O_TRUNC : 0);
    auto file = FileHandle::open(path, flags);
    if (!file) {
        return std::move(file).error();
    }
    PartialFile partial{std::move(path), std::move(file).value()};
    if (how == OpenPartial::resume) {
        auto hashed = partial.rehash();
        if (!hashed) {
            return std::move(hashed).error();
        }
    }
    return partial;
}

Status PartialFile::rehash()
{
    return read_file(path_, [&](std::span<const u8> bytes) {
        hash_.update(bytes);
        size_ += bytes.size();
        return base::ok();
    });
}

Status PartialFile::append(std::span<const u8> bytes)
{
    hash_.update(bytes);
    while (!bytes.empty()) {
        const std::size_t to_boundary = kHoleUnit - size_ % kHoleUnit;
        std::size_t length = std::min(to_boundary, bytes.size());
        const bool hole = length == kHoleUnit && all_zero(bytes.first(length));
        if (!hole) { // take everything up to the next unit of zeros in one write
            while (length < bytes.size()) {
                const auto next = bytes.subspan(length, std::min(kHoleUnit, bytes.size() - length));
                if (next.size() == kHoleUnit && all_zero(next)) {
                    break;
                }
                length += next.size();
            }
            auto written = write_at(file_, path_, size_, bytes.first(length));
            if (!written) {
                return written;
            }
        }
        size_ += length;
        bytes = bytes.subspan(length);
    }
    return base::ok();
}

Status PartialFile::keep_first(u64 length)
{
    if (length >= size_) {
        return base::ok();
    }
    if (::ftruncate(file_.get(), static_cast<off_t>(length)) != 0) {
        return system_error(path_);
    }
    size_ = 0;
    hash_ = Sha256{};
    return rehash();
}

Status PartialFile::restart()
{
    return keep_first(0);
}

Result<std::string> PartialFile::finish()
{
    if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0 || ::fsync(file_.get()) != 0) {
        return system_error(path_);
    }
    return hash_.finish();
}

std::filesystem::path PartialFile::origin_path() const
{
    return path_.string() + ".from";
}

void PartialFile::discard()
{
    ::unlink(path_.c_str());
    ::unlink(origin_path().c_str());
}

} // namespace zoo
