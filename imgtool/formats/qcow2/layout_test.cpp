#include "imgtool/formats/qcow2/layout.hpp"

#include "base/endian.hpp"

#include <catch2/catch.hpp>

using namespace img;
using namespace img::qcow2;

namespace {

/// A correct version 3 header of a 1 MiB disk.
std::vector<u8> good_header()
{
    Header header;
    header.size = 1 << 20;
    header.l1_size = 1;
    header.l1_offset = 0x30000;
    header.reftable_offset = 0x10000;
    header.reftable_clusters = 1;
    auto bytes = encode_header(header);
    REQUIRE(bytes);
    bytes.value().resize(65536);
    return bytes.value();
}

std::string refusal(const std::vector<u8>& bytes)
{
    const auto header = parse_header(bytes);
    return header ? "accepted" : header.error().message;
}

std::vector<u8> with_u32(std::size_t offset, u32 value)
{
    auto bytes = good_header();
    base::store_be<u32>(bytes, offset, value);
    return bytes;
}

std::vector<u8> with_u64(std::size_t offset, u64 value)
{
    auto bytes = good_header();
    base::store_be<u64>(bytes, offset, value);
    return bytes;
}

} // namespace

TEST_CASE("qcow2 header: what is encoded is parsed again")
{
    const auto header = parse_header(good_header());

    REQUIRE(header);
    CHECK(header.value().version == 3);
    CHECK(header.value().size == 1048576);
    CHECK(header.value().l1_offset == 0x30000);
    CHECK(header.value().geometry().refcount_bits() == 16);
    CHECK(header.value().backing_name.empty());
}

TEST_CASE("qcow2 header: a backing file's name and format survive")
{
    Header header;
    header.size = 4096;
    header.l1_size = 1;
    header.l1_offset = 0x30000;
    header.reftable_offset = 0x10000;
    header.reftable_clusters = 1;
    header.backing_name = "base.raw";
    header.backing_format = "raw";

    auto bytes = encode_header(header);
    REQUIRE(bytes);
    const auto parsed = parse_header(bytes.value());

    REQUIRE(parsed);
    CHECK(parsed.value().backing_name == "base.raw");
    CHECK(parsed.value().backing_format == "raw");
}

TEST_CASE("qcow2 header: hostile fields are refused, by name")
{
    CHECK(refusal({}) == "Image is not in qcow2 format");
    CHECK(refusal(with_u32(4, 4)) == "Unsupported qcow2 version 4");
    CHECK(refusal(with_u32(20, 8)) == "Unsupported cluster size: 2^8");
    CHECK(refusal(with_u32(20, 22)) == "Unsupported cluster size: 2^22");
    CHECK(refusal(with_u32(100, 72)) == "qcow2 header too short");
    CHECK(refusal(with_u32(100, 0x7fff'ffff)) == "qcow2 header exceeds cluster size");
    CHECK(refusal(with_u32(96, 7)) ==
          "Reference count entry width too large; may not exceed 64 bits");
    CHECK(refusal(with_u64(8, 0x20000)) == "Invalid backing file offset");
    CHECK(refusal(with_u32(36, 0x0400'0001)) == "Active L1 table too large");
    CHECK(refusal(with_u32(36, 0)) == "L1 table is too small");
    CHECK(refusal(with_u64(40, 0x30001)) == "Active L1 table offset invalid");
    CHECK(refusal(with_u64(40, 0xffff'0000'0000'0000)) == "Active L1 table offset invalid");
    CHECK(refusal(with_u64(48, 0x123)) == "Reference count table offset invalid");
    CHECK(refusal(with_u64(24, 0x7fff'ffff'ffff'ffff)) == "Image is too big");
}

TEST_CASE("qcow2 header: features that are not there yet are refused, by name")
{
    CHECK(refusal(with_u64(72, u64{1} << 40)) ==
          "Unsupported qcow2 feature(s): Unknown incompatible feature: 10000000000");
    CHECK(refusal(with_u32(32, 1)) == "accepted");
    CHECK(refusal(with_u32(32, 2)) == "Image is encrypted with LUKS but has no LUKS header");
    CHECK(refusal(with_u32(32, 3)) == "Unsupported encryption method 3");
}

TEST_CASE("qcow2 header: subclusters are of at least 512 bytes")
{
    auto bytes = with_u64(72, incompatible::extended_l2);
    CHECK(refusal(bytes) == "accepted");
    base::store_be<u32>(bytes, 20, 12);
    CHECK(refusal(bytes) == "Unsupported subcluster size: 128");
}

TEST_CASE("qcow2 header: an extension longer than the header is refused")
{
    auto bytes = good_header();
    base::store_be<u32>(bytes, 112, 0x1234'5678);
    base::store_be<u32>(bytes, 116, 0xffff'fff0);

    CHECK(refusal(bytes) == "Header extension too large");
}

TEST_CASE("qcow2 compressed clusters: the descriptor of 64 KiB clusters has 8 bits of sectors")
{
    const Geometry geometry{.cluster_bits = 16, .refcount_order = 4};

    const u64 entry = packed_entry(geometry, {.at = 0x50123, .length = 1000});

    // x = 62 - (16 - 8) = 54; the bytes touch sectors 0x280 to 0x282, which is two more than one.
    CHECK(entry == (u64{1} << 62 | u64{2} << 54 | 0x50123));
    CHECK(packed_range(geometry, entry).at == 0x50123);
    CHECK(packed_range(geometry, entry).length == 3 * 512 - 0x123);
}
