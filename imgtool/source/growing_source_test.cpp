#include "imgtool/source/growing_source.hpp"
#include "imgtool/tests/old_device.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using img::test::OldDevice;

namespace {

u8 byte_at(const std::vector<u8>& bytes, std::size_t at)
{
    return bytes.at(at);
}

} // namespace

TEST_CASE("growing source: what comes to light is zero, and no more of the device is touched")
{
    const auto bytes = OldDevice::bytes_of(4096);
    OldDevice device{bytes};
    GrowingSource file{device, 0};
    const std::vector<u8> word{1, 2, 3};

    REQUIRE(file.write(FileOffset{100}, word));

    CHECK(file.size() == 103);
    CHECK(byte_at(*bytes, 99) == 0);
    CHECK(byte_at(*bytes, 100) == 1);
    CHECK(byte_at(*bytes, 103) == 0xa5);
    REQUIRE(file.resize(200));
    CHECK(byte_at(*bytes, 103) == 0);
    CHECK(byte_at(*bytes, 199) == 0);
    CHECK(byte_at(*bytes, 200) == 0xa5);
}

TEST_CASE("growing source: what was cut off does not come back")
{
    const auto bytes = OldDevice::bytes_of(4096);
    OldDevice device{bytes};
    GrowingSource file{device, 0};
    REQUIRE(file.write(FileOffset{0}, std::vector<u8>(64, 7)));

    REQUIRE(file.resize(10));
    REQUIRE(file.zero(FileOffset{8}, 8));

    CHECK(file.size() == 16);
    CHECK(byte_at(*bytes, 7) == 7);
    CHECK(byte_at(*bytes, 8) == 0);
    CHECK(byte_at(*bytes, 15) == 0);
    CHECK(byte_at(*bytes, 16) == 7);
    std::vector<u8> into(1);
    CHECK_FALSE(file.read(FileOffset{16}, into));
}

TEST_CASE("growing source: it ends with the device at the latest")
{
    OldDevice device{OldDevice::bytes_of(512)};
    GrowingSource file{device, 0};

    CHECK(file.resize(513).error().message == "No space left on device");
    CHECK(file.write(FileOffset{512}, std::vector<u8>(1)).error().message ==
          "No space left on device");
    CHECK(file.reserve(FileOffset{~u64{0}}, 2).error().message == "No space left on device");
    CHECK(file.size() == 0);
}
