#include "imgtool/formats/vpc/layout.hpp"

#include "base/endian.hpp"

#include <catch2/catch.hpp>

using namespace img::vpc;
using base::store_be;

namespace {

std::string footer_refusal(std::size_t at, u32 value, bool sum = true)
{
    auto bytes = encode_footer({.size = 1 << 20, .geometry = {31, 4, 17}});
    store_be<u32>(bytes, at, value);
    if (sum) {
        store_be<u32>(bytes, 64, checksum(bytes, 64));
    }
    const auto footer = parse_footer(bytes);
    return footer ? "accepted" : footer.error().message;
}

std::string header_refusal(std::size_t at, u32 value)
{
    auto bytes = encode_dynamic_header({.table_entries = 1, .block_size = kBlockSize});
    store_be<u32>(bytes, at, value);
    const auto header = parse_dynamic_header(bytes);
    return header ? "accepted" : header.error().message;
}

} // namespace

TEST_CASE("vpc layout: the checksum is the complement of the byte sum without its own field")
{
    const std::array<u8, 8> bytes{1, 2, 0xaa, 0xaa, 0xaa, 0xaa, 3, 4};
    CHECK(checksum(bytes, 2) == ~u32{10});
}

TEST_CASE("vpc layout: the geometry is that of the specification's appendix")
{
    CHECK(geometry_for(68) == Geometry{1, 4, 17});
    CHECK(geometry_for(20480) == Geometry{301, 4, 17});
    CHECK(geometry_for(204800) == Geometry{1003, 12, 17});
    CHECK(geometry_for(2097152) == Geometry{2080, 16, 63});
    CHECK(geometry_for(65535 * 16 * 63) == Geometry{16191, 16, 255});
    CHECK(geometry_for(65535 * 16 * 255 + 1) == kLargestGeometry);
}

TEST_CASE("vpc layout: a footer keeps its fields")
{
    const Footer footer{.header_offset = 512,
                        .timestamp = 77,
                        .creator = {'w', 'i', 'n', ' '},
                        .size = u64{5} << 40,
                        .geometry = {1000, 16, 63},
                        .type = DiskType::differencing,
                        .uuid = {1, 2, 3}};
    const auto read = parse_footer(encode_footer(footer));
    REQUIRE(read);
    CHECK(read.value().header_offset == 512);
    CHECK(read.value().timestamp == 77);
    CHECK(read.value().creator == footer.creator);
    CHECK(read.value().size == u64{5} << 40);
    CHECK(read.value().geometry == Geometry{1000, 16, 63});
    CHECK(read.value().type == DiskType::differencing);
    CHECK(read.value().uuid == footer.uuid);
}

TEST_CASE("vpc layout: a footer that lies is refused")
{
    CHECK(footer_refusal(24, 1) == "accepted");
    CHECK(footer_refusal(0, 1) == "invalid VPC image");
    CHECK(footer_refusal(52, 1, false) == "Incorrect header checksum");
    CHECK(footer_refusal(60, 0) == "Unknown disk type 0");
    CHECK(footer_refusal(60, 5) == "Unknown disk type 5");
}

TEST_CASE("vpc layout: a dynamic disk header that lies is refused")
{
    CHECK(header_refusal(24, 1) == "accepted");
    CHECK(header_refusal(0, 1) == "Invalid header magic");
    CHECK(header_refusal(32, 0) == "Invalid block size 0");
    CHECK(header_refusal(32, 256) == "Invalid block size 256");
    CHECK(header_refusal(32, 3 << 20) == "Invalid block size 3145728");
}

TEST_CASE("vpc layout: a bitmap takes whole sectors")
{
    CHECK(DynamicHeader{.block_size = 512}.bitmap_size() == 512);
    CHECK(DynamicHeader{.block_size = 2 << 20}.bitmap_size() == 512);
    CHECK(DynamicHeader{.block_size = 4 << 20}.bitmap_size() == 1024);
}

TEST_CASE("vpc layout: a parent's name survives its locator")
{
    for (const u32 code : {platform::relative, platform::url}) {
        CHECK(parent_path(code, locator_bytes(code, "parent.vhd")) == "parent.vhd");
        CHECK(parent_path(code, locator_bytes(code, "../a b/p\xc3\xa9re \xf0\x9f\x90\x98.vhd")) ==
              "../a b/p\xc3\xa9re \xf0\x9f\x90\x98.vhd");
    }
    CHECK(parent_path(platform::url, locator_bytes(platform::url, "/images/base.vhd")) ==
          "/images/base.vhd");
}

TEST_CASE("vpc layout: parents are found by what their names mean on this host")
{
    const auto windows = [](const std::string& path) {
        std::vector<u8> bytes;
        for (const char c : path) {
            bytes.insert(bytes.end(), {static_cast<u8>(c), 0});
        }
        return parent_path(platform::absolute, bytes);
    };
    CHECK(windows(R"(C:\vm\base.vhd)") == "base.vhd");
    CHECK(windows(R"(\\server\share\base.vhd)") == "base.vhd");
    CHECK(windows(R"(..\base.vhd)") == "../base.vhd");

    const auto url = [](std::string_view text) {
        return parent_path(platform::url, {reinterpret_cast<const u8*>(text.data()), text.size()});
    };
    CHECK(url("file://localhost/a%20b.vhd") == "/a b.vhd");
    CHECK(url("file://./a.vhd") == "a.vhd");
    CHECK(url("http://host/a.vhd").empty());
    CHECK(parent_path(0x4d616320, {}).empty()); // "Mac ": an alias, of that host only
}
