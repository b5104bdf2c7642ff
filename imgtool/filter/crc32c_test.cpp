#include "imgtool/filter/crc32c.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace img;
using base::u8;

TEST_CASE("crc32c: the vectors of RFC 3720, appendix B.4")
{
    std::vector<u8> rising(32);
    for (std::size_t i = 0; i < rising.size(); ++i) {
        rising[i] = static_cast<u8>(i);
    }
    CHECK(crc32c(std::vector<u8>(32)) == 0x8a91'36aa);
    CHECK(crc32c(std::vector<u8>(32, 0xff)) == 0x62a8'ab43);
    CHECK(crc32c(rising) == 0x46dd'794e);
}

TEST_CASE("crc32c: with and without the CPU's help, in one piece or several, it is the same")
{
    std::vector<u8> bytes(1003);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<u8>(i * i * 7);
    }
    const std::span<const u8> all{bytes};
    CHECK(crc32c(all) == crc32c_by_table(all));
    CHECK(crc32c(all.subspan(501), crc32c(all.first(501))) == crc32c(all));
    CHECK(crc32c_by_table(all.subspan(3), crc32c_by_table(all.first(3))) == crc32c(all));
    CHECK(crc32c({}) == 0);
}
