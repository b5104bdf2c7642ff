#include "imgtool/source/fat/fat_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace img::fat {

namespace {

using base::Errc;
using base::fail;

Status refuse_write()
{
    return fail(Errc::unsupported, "writing to a folder as a disk is not supported");
}

} // namespace

Result<std::unique_ptr<FatSource>> FatSource::open(const std::string& folder,
                                                   const Parameters& parameters)
{
    auto read = read_folder(folder);
    if (!read) {
        return std::move(read).error();
    }
    auto root = std::make_unique<Entry>(std::move(read).value());
    auto volume = lay_out(*root, parameters);
    if (!volume) {
        return std::move(volume).error();
    }
    return std::unique_ptr<FatSource>{new FatSource{std::move(root), std::move(volume).value()}};
}

FatSource::~FatSource()
{
    close_file();
}

void FatSource::close_file()
{
    if (fd_ >= 0) {
        ::close(fd_);
    }
    fd_ = -1;
    open_ = nullptr;
}

std::vector<Piece>::const_iterator FatSource::piece_after(u64 at) const
{
    return std::ranges::upper_bound(volume_.pieces, at, {},
                                    [](const Piece& p) { return p.at + p.length; });
}

Status FatSource::read(FileOffset at, std::span<u8> into)
{
    if (at.bytes > size() || into.size() > size() - at.bytes) {
        return fail(Errc::io, "read past the end of the disk");
    }
    std::ranges::fill(into, u8{0});
    const u64 end = at.bytes + into.size();
    for (auto piece = piece_after(at.bytes); piece != volume_.pieces.end() && piece->at < end;
         ++piece) {
        const u64 from = std::max(at.bytes, piece->at);
        const u64 n = std::min(end, piece->at + piece->length) - from;
        const std::span<u8> part = into.subspan(from - at.bytes, n);
        const u64 inside = from - piece->at;
        if (piece->bytes != nullptr) {
            std::copy_n(piece->bytes->begin() + static_cast<std::ptrdiff_t>(inside), n,
                        part.begin());
        } else if (auto done = read_file(*piece->file, inside, part); !done) {
            return done;
        }
    }
    return base::ok();
}

/// Reads of a file of the folder, which must still be the one that was there at first.
Status FatSource::read_file(const Entry& file, u64 at, std::span<u8> into)
{
    const auto failed = [&file](std::string_view why) {
        return fail(Errc::io, fmt::format("{}: {}", file.path, why));
    };
    if (open_ != &file) {
        close_file();
        fd_ = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st = {};
        if (fd_ < 0 || ::fstat(fd_, &st) != 0) {
            return failed(std::strerror(errno));
        }
        if (st.st_dev != file.device || st.st_ino != file.inode) {
            close_file();
            return failed("the file was exchanged while the folder was in use");
        }
        open_ = &file;
    }
    while (!into.empty()) {
        const ssize_t n = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return failed(n < 0 ? std::strerror(errno) : "the file became shorter");
        }
        at += static_cast<u64>(n);
        into = into.subspan(static_cast<std::size_t>(n));
    }
    return base::ok();
}

Result<ByteSource::Run> FatSource::run_at(FileOffset at)
{
    const auto piece = piece_after(at.bytes);
    const u64 rest = size() - at.bytes;
    if (piece == volume_.pieces.end()) {
        return Run{.data = false, .length = rest};
    }
    if (piece->at > at.bytes) {
        return Run{.data = false, .length = piece->at - at.bytes};
    }
    // Whole sectors: what a file leaves of its last one reads as zero.
    const u64 end = (piece->at + piece->length + 511) / 512 * 512;
    return Run{.data = true, .length = std::min(rest, end - at.bytes)};
}

Status FatSource::write(FileOffset, std::span<const u8>)
{
    return refuse_write();
}

Status FatSource::zero(FileOffset, u64)
{
    return refuse_write();
}

Status FatSource::resize(u64)
{
    return refuse_write();
}

Status FatSource::reserve(FileOffset, u64)
{
    return refuse_write();
}

} // namespace img::fat
