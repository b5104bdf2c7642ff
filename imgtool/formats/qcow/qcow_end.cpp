// Walking through tables; where an image ends in a file that does not end with it.
#include "base/endian.hpp"
#include "imgtool/formats/qcow/qcow_image.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace img::qcow {

Status each_entry(ByteSource& file, u64 table, u64 entries, const EntryVisitor& visit)
{
    constexpr u64 kPiece = 4096; // bytes read at once
    std::array<u8, kPiece> piece{};
    for (u64 done = 0; done < entries;) {
        const u64 n = std::min<u64>(entries - done, kPiece / sizeof(u64));
        const auto bytes = std::span{piece}.first(n * sizeof(u64));
        if (auto read = read_padded(file, FileOffset{table + done * sizeof(u64)}, bytes); !read) {
            return read;
        }
        for (u64 i = 0; i < n; ++i) {
            const u64 entry = base::load_be<u64>(bytes, i * sizeof(u64));
            if (auto visited = entry == 0 ? base::ok() : visit(done + i, entry); !visited) {
                return visited;
            }
        }
        done += n;
    }
    return base::ok();
}

Result<u64> find_end(ByteSource& file, const Header& header)
{
    u64 end = header.l1_end();
    const auto pass = [&](u64 at, u64 length) {
        if (at < file.size()) { // what is wrong is told when it is needed
            end = std::max(end, at + length);
        }
    };
    std::set<u64> tables; // no more than the file has room for
    auto done = each_entry(file, header.l1_offset, header.l1_entries(), [&](u64, u64 entry) {
        if (entry % 512 == 0 && entry < file.size()) {
            tables.insert(entry);
        }
        return base::ok();
    });
    for (auto table = tables.begin(); done && table != tables.end(); ++table) {
        pass(*table, header.l2_bytes());
        done = each_entry(file, *table, header.l2_entries(), [&](u64, u64 entry) {
            const PackedRange range = (entry & kCompressed) != 0
                                          ? packed_range(header, entry)
                                          : PackedRange{entry, header.cluster_size()};
            pass(range.at, range.length);
            return base::ok();
        });
    }
    return done ? Result<u64>{end} : std::move(done).error();
}

} // namespace img::qcow
