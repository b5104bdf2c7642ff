#include "imgtool/source/memory_source.hpp"
#include "imgtool/source/patched_source.hpp"
#include "imgtool/tests/support.hpp"

#include <random>

using namespace img;
using test::need;

namespace {

using Bytes = std::vector<u8>;

PatchedSource patched(const Bytes& bytes, u64 limit = 1 << 20)
{
    return {std::make_unique<MemorySource>(bytes), limit};
}

Bytes contents(PatchedSource& source)
{
    Bytes bytes(source.size());
    REQUIRE(source.read(FileOffset{0}, bytes));
    return bytes;
}

} // namespace

TEST_CASE("patched source: changes are read again, and the file stays as it is")
{
    const auto file = std::make_shared<Bytes>(100, u8{1});
    PatchedSource source{std::make_unique<MemorySource>(file), 1000};
    CHECK(source.read_only());
    REQUIRE(source.write(FileOffset{10}, Bytes(20, u8{2})));
    REQUIRE(source.zero(FileOffset{15}, 5));
    REQUIRE(source.write(FileOffset{95}, Bytes(10, u8{3}))); // over the end
    Bytes wanted(105, u8{1});
    std::fill_n(wanted.begin() + 10, 20, u8{2});
    std::fill_n(wanted.begin() + 15, 5, u8{0});
    std::fill_n(wanted.begin() + 95, 10, u8{3});
    CHECK(contents(source) == wanted);
    CHECK(*file == Bytes(100, u8{1}));
    Bytes some(4);
    REQUIRE(source.read(FileOffset{13}, some));
    CHECK(some == Bytes{2, 2, 0, 0});
    CHECK_FALSE(source.read(FileOffset{103}, some));
}

TEST_CASE("patched source: runs end where the nature of bytes changes")
{
    PatchedSource source = patched(Bytes(100, u8{1}));
    REQUIRE(source.zero(FileOffset{40}, 10));
    REQUIRE(source.resize(150));
    const auto run = [&](u64 at) { return need(source.run_at(FileOffset{at})); };
    CHECK((run(0).data && run(0).length == 40));
    CHECK((!run(42).data && run(42).length == 8));
    CHECK((run(50).data && run(50).length == 50));
    CHECK((!run(120).data && run(120).length == 30));
}

TEST_CASE("patched source: what is cut off does not come back")
{
    PatchedSource source = patched(Bytes(100, u8{1}));
    REQUIRE(source.resize(50));
    REQUIRE(source.resize(60));
    Bytes wanted(60, u8{1});
    std::fill_n(wanted.begin() + 50, 10, u8{0});
    CHECK(contents(source) == wanted);
}

TEST_CASE("patched source: more changes than memory is given for are refused, zeroes never")
{
    PatchedSource source = patched({}, 100);
    REQUIRE(source.write(FileOffset{0}, Bytes(60, u8{1})));
    REQUIRE(source.write(FileOffset{0}, Bytes(100, u8{2}))); // in place of the others
    CHECK(source.write(FileOffset{200}, Bytes(1, u8{1})).error().message ==
          "more than 100 bytes of changes cannot be kept in memory");
    CHECK(source.zero(FileOffset{0}, u64{1} << 40));
    CHECK(source.write(FileOffset{200}, Bytes(1, u8{1})));
}

TEST_CASE("patched source: any number of changes is as they would be in a file")
{
    std::mt19937 random{7};
    Bytes mirror(500, u8{9});
    PatchedSource source = patched(mirror);
    for (unsigned i = 0; i < 2000; ++i) {
        const std::size_t at = random() % 500;
        const std::size_t length = random() % (500 - at);
        const u8 value = static_cast<u8>(random() % 3);
        const Bytes bytes(length, value);
        const auto done =
            value == 0 ? source.zero(FileOffset{at}, length) : source.write(FileOffset{at}, bytes);
        REQUIRE(done);
        std::copy(bytes.begin(), bytes.end(), mirror.begin() + static_cast<std::ptrdiff_t>(at));
        REQUIRE(contents(source) == mirror);
    }
}
