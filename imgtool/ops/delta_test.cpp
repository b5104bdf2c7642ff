#include "imgtool/ops/delta.hpp"

#include "base/endian.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using test::need;

namespace {

using Bytes = std::vector<u8>;

constexpr std::size_t kHeader = 104; // docs/delta-format.md

Bytes make_delta()
{
    const auto bytes = std::make_shared<Bytes>();
    MemorySource file{bytes};
    DeltaHeader header{.old_size = 1000, .new_size = 100'000};
    header.old_hash.size = header.new_hash.size = 32;
    header.new_hash.bytes[5] = 7;
    DeltaWriter writer = need(DeltaWriter::begin(file, header));
    REQUIRE(writer.add_zeroes(0, 512));
    REQUIRE(writer.add_zeroes(512, 512)); // goes on
    REQUIRE(writer.add_data(2048, Bytes(5000, 9)));
    REQUIRE(writer.add_data(8192, test::noise(512, 3)));
    REQUIRE(writer.finish());
    return *bytes;
}

/// What is wrong with the delta; empty: nothing.
std::string fault(const Bytes& bytes)
{
    MemorySource file{bytes};
    auto delta = DeltaReader::open(file);
    if (!delta) {
        return delta.error().message;
    }
    auto good = delta.value().verify();
    return good ? "" : good.error().message;
}

} // namespace

TEST_CASE("delta: what is written is read")
{
    const Bytes bytes = make_delta();
    CHECK(fault(bytes).empty());
    MemorySource file{bytes};
    DeltaReader delta = need(DeltaReader::open(file));
    CHECK(delta.header().old_size == 1000);
    CHECK(delta.header().new_size == 100'000);
    CHECK(delta.header().new_hash.bytes[5] == 7);
    Bytes data;
    const auto zero = need(delta.next()).value();
    CHECK((zero.kind == DeltaRecord::Kind::zero && zero.offset == 0 && zero.length == 1024));
    const auto packed = need(delta.next()).value();
    CHECK((packed.kind == DeltaRecord::Kind::zstd && packed.offset == 2048));
    REQUIRE(delta.read(packed, data));
    CHECK(data == Bytes(5000, 9));
    const auto stored = need(delta.next()).value();
    CHECK((stored.kind == DeltaRecord::Kind::stored && stored.offset == 8192));
    REQUIRE(delta.read(stored, data));
    CHECK(data == test::noise(512, 3));
    CHECK(!need(delta.next()).has_value());
}

TEST_CASE("delta: damage is found wherever it is")
{
    const Bytes bytes = make_delta();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        Bytes damaged = bytes;
        damaged[i] ^= 0x10;
        INFO(i);
        CHECK(!fault(damaged).empty());
        CHECK(!fault({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(i)}).empty());
    }
    Bytes longer = bytes;
    longer.push_back(0);
    CHECK(fault(longer).find("something after its end") != std::string::npos);
}

TEST_CASE("delta: hostile numbers are refused before they are used")
{
    const Bytes bytes = make_delta();
    const auto with64 = [&](std::size_t at, u64 number) {
        Bytes changed = bytes;
        base::store_le<u64>(changed, at, number);
        return fault(changed);
    };
    const auto with32 = [&](std::size_t at, u32 number) {
        Bytes changed = bytes;
        base::store_le<u32>(changed, at, number);
        return fault(changed);
    };
    CHECK(with32(8, 2) == "deltas of version 2 are not supported");
    CHECK(with64(24, ~u64{0}).find("an impossible disk size") != std::string::npos);
    CHECK(with64(32, 3).find("an impossible block size") != std::string::npos);
    CHECK(with32(kHeader, 9).find("an unknown record") != std::string::npos);
    CHECK(with64(kHeader + 16, ~u64{0}).find("past the end of the disk") != std::string::npos);
    CHECK(with64(kHeader + 16, 0).find("a wrong length") != std::string::npos);
    CHECK(with64(kHeader + 8, 1 << 20).find("past the end of the disk") != std::string::npos);
    CHECK(with64(kHeader + 8, 4096).find("out of order") != std::string::npos);
    const std::size_t second = kHeader + 24;
    CHECK(with32(second + 4, ~u32{0}).find("it ends too early") != std::string::npos);
    CHECK(with64(second + 16, u64{1} << 40).find("a wrong length") != std::string::npos);
}
