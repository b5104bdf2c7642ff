#include "imgtool/source/file_source.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using img::test::need;
using img::test::noise;
using img::test::TempDir;

TEST_CASE("host files: one is copied to another by the host, memory is not")
{
    const TempDir dir;
    const std::vector<u8> bytes = noise(10'000, 5);
    test::write_file(dir / "a", bytes);
    auto from = need(FileSource::open(dir / "a", FileSource::Access::read_only, Locking::on));
    auto to = need(FileSource::create(dir / "b"));

    // Only as far as there is something to be copied.
    CHECK(FileSource::copy_by_host(*from, FileOffset{1000}, *to, FileOffset{500}, 20'000) == 9000);
    CHECK(to->size() == 9500);
    std::vector<u8> copied(9000);
    REQUIRE(to->read(FileOffset{500}, copied));
    CHECK(std::equal(copied.begin(), copied.end(), bytes.begin() + 1000));

    MemorySource memory{std::make_shared<std::vector<u8>>(bytes)};
    CHECK(FileSource::copy_by_host(memory, FileOffset{0}, *to, FileOffset{0}, 512) == 0);
    CHECK(FileSource::copy_by_host(*from, FileOffset{0}, memory, FileOffset{0}, 512) == 0);
}

TEST_CASE("host files: one without a name cannot be opened")
{
    const auto opened = FileSource::open("", FileSource::Access::read_only, Locking::on);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().message == "The 'file' block driver requires a file name");
}
