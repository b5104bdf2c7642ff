// Small VHD images for tests: blocks far smaller than the usual 2 MiB.
#pragma once

#include "base/endian.hpp"
#include "imgtool/formats/vpc/layout.hpp"

#include <algorithm>
#include <vector>

namespace img::vpc::test {

inline constexpr u64 kTableAt = 1536;

/// An empty dynamic or differencing disk. The latter's parent is called "parent.vhd" in the header,
/// and `locators` are put behind the table, a sector each.
struct Small {
    u64 size = 0;
    u32 block_size = 4096;
    DiskType type = DiskType::dynamic;
    std::vector<std::pair<u32, std::string>> locators = {};
    Uuid uuid = {};
    Uuid parent_uuid = {};
};

inline std::vector<u8> make_small(const Small& small)
{
    const u64 blocks = (small.size + small.block_size - 1) / small.block_size;
    const u64 table_end = (kTableAt + blocks * 4 + 511) / 512 * 512;
    DynamicHeader header{.table_offset = kTableAt,
                         .table_entries = static_cast<u32>(blocks),
                         .block_size = small.block_size};
    std::vector<u8> file(table_end, 0xff);
    if (small.type == DiskType::differencing) {
        header.parent_name = "parent.vhd";
        header.parent_uuid = small.parent_uuid;
    }
    for (std::size_t i = 0; i < small.locators.size(); ++i) {
        const auto& [code, path] = small.locators[i];
        const std::vector<u8> bytes = locator_bytes(code, path);
        header.locators[i] = {code, 512, static_cast<u32>(bytes.size()), file.size()};
        file.insert(file.end(), bytes.begin(), bytes.end());
        file.resize((file.size() + 511) / 512 * 512);
    }
    const Footer footer{.header_offset = 512,
                        .creator = {'q', 'e', 'm', '2'},
                        .size = small.size,
                        .geometry = kLargestGeometry,
                        .type = small.type,
                        .uuid = small.uuid};
    const auto footer_bytes = encode_footer(footer);
    const auto header_bytes = encode_dynamic_header(header);
    std::ranges::copy(footer_bytes, file.begin());
    std::ranges::copy(header_bytes, file.begin() + 512);
    file.insert(file.end(), footer_bytes.begin(), footer_bytes.end());
    return file;
}

} // namespace img::vpc::test
