#include "base/endian.hpp"
#include "base/result.hpp"

#include <array>
#include <catch2/catch.hpp>

using namespace base;

TEST_CASE("endian: big and little loads read the same bytes in opposite order")
{
    const std::array<u8, 4> bytes{0x12, 0x34, 0x56, 0x78};

    CHECK(load_be<u32>(bytes, 0) == 0x12345678);
    CHECK(load_le<u32>(bytes, 0) == 0x78563412);
    CHECK(load_le<u16>(bytes, 1) == 0x5634);
}

TEST_CASE("endian: a store is read back by the load of the same order")
{
    std::array<u8, 8> bytes{};

    store_le<u64>(bytes, 0, 0x0102030405060708);
    CHECK(bytes[0] == 8);
    CHECK(load_le<u64>(bytes, 0) == 0x0102030405060708);

    store_be<u32>(bytes, 4, 0xdeadbeef);
    CHECK(load_be<u32>(bytes, 4) == 0xdeadbeef);
}

TEST_CASE("result: an error collects the context it passes through")
{
    const Error error = fail(Errc::corrupt, "bad checksum").in("opening disk.vhd");

    CHECK(error.message == "opening disk.vhd: bad checksum");
}
