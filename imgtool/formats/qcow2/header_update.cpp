#include "imgtool/formats/qcow2/header_update.hpp"

#include <algorithm>

namespace img::qcow2 {

namespace {

using base::Result;
using base::Status;

Status write_and_wait(ByteSource& file, u64 at, std::span<const u8> bytes)
{
    auto done = file.write(FileOffset{at}, bytes);
    return done ? file.flush() : std::move(done);
}

/// Whether the file has just these bytes there.
Result<bool> has_bytes(ByteSource& file, u64 at, std::span<const u8> bytes)
{
    std::vector<u8> now(bytes.size());
    auto read = read_padded(file, FileOffset{at}, now);
    return read ? Result<bool>{std::ranges::equal(now, bytes)}
                : Result<bool>{std::move(read).error()};
}

} // namespace

Status replace_header(ByteSource& file, const Header& old, Header& header)
{
    auto encoded = encode_header(header);
    if (!encoded) {
        return std::move(encoded).error();
    }
    const std::span<const u8> bytes = encoded.value();
    const auto first = bytes.first(std::min<std::size_t>(bytes.size(), kHeaderSector));
    const auto rest = bytes.subspan(first.size());
    auto settled = has_bytes(file, first.size(), rest);
    if (!settled) {
        return std::move(settled).error();
    }
    if (!settled.value()) {
        // The old header needs the sectors that change. A header that does not, and says the same
        // as the new one, stands in between.
        const auto interim = encode_interim_header(header, std::max<u64>(old.end, bytes.size()));
        if (!interim) {
            return write_and_wait(file, 0, bytes); // a cluster too small to hold both
        }
        const auto& [start, rest_at, far] = interim.value();
        if (!far.empty()) {
            if (auto done = write_and_wait(file, rest_at, far); !done) {
                return done;
            }
        }
        if (auto done = write_and_wait(file, 0, start); !done) {
            return done;
        }
        if (auto done = write_and_wait(file, first.size(), rest); !done) {
            return done;
        }
    }
    return write_and_wait(file, 0, first);
}

} // namespace img::qcow2
