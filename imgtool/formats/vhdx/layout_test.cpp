#include "imgtool/formats/vhdx/layout.hpp"

#include "base/endian.hpp"
#include "imgtool/filter/crc32c.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace img;
using namespace img::vhdx;
using base::store_le;

namespace {

void resign(std::span<u8> bytes)
{
    store_le<u32>(bytes, 4, 0);
    store_le<u32>(bytes, 4, crc32c(bytes));
}

template <class T>
std::string header_refusal(std::size_t at, T value, bool sum = true)
{
    auto bytes = encode_header({.sequence = 1, .log_length = 1 << 20, .log_offset = 1 << 20});
    store_le<T>(bytes, at, value);
    if (sum) {
        resign(bytes);
    }
    const auto header = parse_header(bytes);
    const auto good = header ? check_header(header.value()) : Status{header.error()};
    return good ? "accepted" : good.error().message;
}

template <class T>
std::string region_refusal(std::size_t at, T value, bool sum = true)
{
    auto bytes = encode_regions({.bat = {2 << 20, 1 << 20}, .metadata = {3 << 20, 1 << 20}});
    store_le<T>(bytes, at, value);
    if (sum) {
        resign(bytes);
    }
    const auto regions = parse_regions(std::span{bytes}.first<kRegionsSize>());
    return regions ? "accepted" : regions.error().message;
}

template <class T>
std::string metadata_refusal(std::size_t at, T value)
{
    auto bytes = encode_metadata({.block_size = 1 << 20, .size = 1 << 20});
    store_le<T>(bytes, at, value);
    const auto items =
        parse_metadata_table(std::span{bytes}.first<kMetadataSize>(), std::size_t{1} << 20);
    return items ? "accepted" : items.error().message;
}

std::string disk_refusal(const DiskParameters& disk)
{
    const auto good = check_disk(disk);
    return good ? "accepted" : good.error().message;
}

} // namespace

TEST_CASE("vhdx layout: a header keeps its fields")
{
    const Header header{.sequence = 9,
                        .file_write_guid = {1},
                        .data_write_guid = {2},
                        .log_guid = {3},
                        .log_length = 1 << 20,
                        .log_offset = 2 << 20};
    const auto read = parse_header(encode_header(header));
    REQUIRE(read);
    CHECK(read.value().sequence == 9);
    CHECK(read.value().file_write_guid == Guid{1});
    CHECK(read.value().data_write_guid == Guid{2});
    CHECK(read.value().log_guid == Guid{3});
    CHECK(read.value().log_length == 1 << 20);
    CHECK(read.value().log_offset == 2 << 20);
}

TEST_CASE("vhdx layout: a header that lies is refused")
{
    const std::string none = "No valid VHDX header found";
    CHECK(header_refusal<u8>(100, 1) == "accepted");
    CHECK(header_refusal<u8>(100, 1, false) == none);
    CHECK(header_refusal<u8>(0, 1) == none);
    CHECK(header_refusal<u16>(66, 2) == "VHDX image of version 2");
    CHECK(header_refusal<u16>(64, 1) == "accepted"); // there is no log
    CHECK(header_refusal<u64>(72, 4096) == "VHDX log of 1048576 bytes at 0x1000");
    CHECK(header_refusal<u64>(72, 0) == "VHDX log of 1048576 bytes at 0x0");
    CHECK(header_refusal<u64>(72, u64{1} << 62) ==
          "VHDX log of 1048576 bytes at 0x4000000000000000");
    CHECK(header_refusal<u32>(68, 4095) == "VHDX log of 4095 bytes at 0x100000");
}

TEST_CASE("vhdx layout: a region table that lies is refused")
{
    const std::string none = "No valid VHDX region table found";
    CHECK(region_refusal<u8>(100, 1) == "accepted");
    CHECK(region_refusal<u8>(100, 1, false) == none);
    CHECK(region_refusal<u8>(0, 1) == none);
    CHECK(region_refusal<u32>(8, 2048) == "VHDX region table of 2048 entries");
    CHECK(region_refusal<u32>(8, 1) == "VHDX image without a BAT or metadata region");
    CHECK(region_refusal<u8>(16, 0) == "VHDX image needs an unknown region");
    CHECK(region_refusal<u64>(32, 5) == "VHDX region of 1048576 bytes at 0x5");
    CHECK(region_refusal<u64>(32, 0) == "VHDX region of 1048576 bytes at 0x0");
    CHECK(region_refusal<u32>(40, 7) == "VHDX region of 7 bytes at 0x200000");
}

TEST_CASE("vhdx layout: a metadata table that lies is refused")
{
    CHECK(metadata_refusal<u8>(12, 1) == "accepted");
    CHECK(metadata_refusal<u8>(0, 1) == "No valid VHDX metadata table found");
    CHECK(metadata_refusal<u16>(10, 2048) == "No valid VHDX metadata table found");
    CHECK(metadata_refusal<u16>(10, 4) == "VHDX image without all required metadata");
    CHECK(metadata_refusal<u8>(32, 1) == "VHDX image needs unknown metadata");
    CHECK(metadata_refusal<u32>(48, 4) == "VHDX metadata item 0 at 0x4");
    CHECK(metadata_refusal<u32>(48, 0xffff'fff0) == "VHDX metadata item 0 at 0xfffffff0");
}

TEST_CASE("vhdx layout: a disk that cannot be is refused")
{
    const DiskParameters good{.block_size = 1 << 20, .size = 1 << 20};
    CHECK(disk_refusal(good) == "accepted");
    DiskParameters disk = good;
    disk.block_size = 3 << 20;
    CHECK(disk_refusal(disk) == "VHDX block size 3145728");
    disk.block_size = 1 << 19;
    CHECK(disk_refusal(disk) == "VHDX block size 524288");
    disk = good;
    disk.has_parent = true;
    CHECK(disk_refusal(disk) == "accepted");
    disk = good;
    disk.logical_sector = 1024;
    CHECK(disk_refusal(disk) == "VHDX logical sector size 1024");
    disk = good;
    disk.size = kMaxDiskSize + 512;
    CHECK(disk_refusal(disk) == "VHDX disk of 70368744178176 bytes");
}

TEST_CASE("vhdx layout: bitmap blocks have their places between the payload blocks'")
{
    const DiskParameters disk{.block_size = 32 << 20, .size = u64{10} << 30};
    CHECK(disk.chunk_ratio() == 128);
    CHECK(disk.blocks() == 320);
    CHECK(disk.bat_index(127) == 127);
    CHECK(disk.bat_index(128) == 129);
    CHECK(disk.bat_index(256) == 258);
    CHECK(disk.bat_entries() == 322);
    CHECK(DiskParameters{.block_size = 1 << 20, .logical_sector = 4096}.chunk_ratio() == 32768);
}
