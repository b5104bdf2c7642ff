#include "zoo/machine/initramfs.hpp"

#include "zoo/host/file.hpp"

#include <fmt/core.h>
#include <zlib.h>

#include <array>
#include <map>

namespace zoo {

using namespace base;

namespace {

constexpr u64 kMaxFileSize = 256_MiB; // a limit of ours: it is all held in memory

// File types of st_mode, as the archive has them on every host.
constexpr u32 kTypeFolder = 0040000;
constexpr u32 kTypeCharDevice = 0020000;
constexpr u32 kTypeFile = 0100000;
constexpr u32 kTypeLink = 0120000;

struct Inode {
    u32 mode = kTypeFolder | 0755;
    std::string data;
    u32 major = 0, minor = 0;
};

void pad_to_word(std::string& out)
{
    while (out.size() % 4 != 0) {
        out += '\0';
    }
}

void append_entry(std::string& out, std::string_view name, const Inode& inode, u32 number)
{
    const u32 links = (inode.mode & kTypeFolder) != 0 && inode.data.empty() ? 2 : 1;
    const std::array<u64, 13> fields{number,
                                     inode.mode,
                                     0 /* uid */,
                                     0 /* gid */,
                                     links,
                                     0 /* mtime */,
                                     inode.data.size(),
                                     0,
                                     0 /* device */,
                                     inode.major,
                                     inode.minor,
                                     name.size() + 1,
                                     0 /* checksum */};
    out += "070701";
    for (const u64 field : fields) {
        out += fmt::format("{:08x}", field);
    }
    out += name;
    out += '\0';
    pad_to_word(out);
    out += inode.data;
    pad_to_word(out);
}

Result<Inode> make_inode(const BuildEntry& entry, const FindMedia& find)
{
    switch (entry.kind) {
    case EntryKind::folder:
        return Inode{kTypeFolder | entry.mode, {}, 0, 0};
    case EntryKind::char_device:
        return Inode{kTypeCharDevice | entry.mode, {}, entry.major, entry.minor};
    case EntryKind::symlink:
        return Inode{kTypeLink | entry.mode, entry.content, 0, 0};
    case EntryKind::text:
        return Inode{kTypeFile | entry.mode, entry.content, 0, 0};
    case EntryKind::file_of_media:
        break;
    }
    auto path = find(entry.content);
    if (!path) {
        return std::move(path).error();
    }
    auto data = read_text(path.value(), kMaxFileSize);
    if (!data) {
        return std::move(data).error();
    }
    return Inode{kTypeFile | entry.mode, std::move(data).value(), 0, 0};
}

} // namespace

Result<std::string> make_cpio(const Build& build, const FindMedia& find)
{
    std::map<std::string, Inode> inodes; // sorted: a folder comes before what is in it
    for (const BuildEntry& entry : build.entries) {
        auto inode = make_inode(entry, find);
        if (!inode) {
            return std::move(inode).error().in(entry.path);
        }
        if (!inodes.emplace(entry.path, std::move(inode).value()).second) {
            return fail(Errc::invalid_argument, entry.path + " is there twice");
        }
    }
    for (const BuildEntry& entry : build.entries) {
        for (std::size_t slash = entry.path.find('/'); slash != std::string::npos;
             slash = entry.path.find('/', slash + 1)) {
            const auto& parent = *inodes.try_emplace(entry.path.substr(0, slash)).first;
            if ((parent.second.mode & 0170000) != kTypeFolder) {
                return fail(Errc::invalid_argument, parent.first + " is not a folder");
            }
        }
    }
    std::string out;
    u32 number = 1;
    for (const auto& [path, inode] : inodes) {
        append_entry(out, path, inode, number++);
    }
    append_entry(out, "TRAILER!!!", Inode{0, {}, 0, 0}, 0);
    return out;
}

Result<std::string> gzip(std::string_view bytes)
{
    constexpr int kGzipFrame = 15 + 16; // window bits, and zlib's way to ask for RFC 1952
    constexpr int kMemoryLevel = 9;
    z_stream stream{};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipFrame, kMemoryLevel,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return fail(Errc::io, "zlib does not start");
    }
    std::string out(deflateBound(&stream, bytes.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    if (status != Z_STREAM_END) {
        return fail(Errc::io, "zlib did not finish");
    }
    return out;
}

} // namespace zoo
