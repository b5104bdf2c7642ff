// Images whose data is in another file.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/l2_entry.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::qcow2;
using img::test::need;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

constexpr u64 kSize = 65536 * 4 + 512;
constexpr u64 kL2 = 4 * 65536; // the first L2 table of a new image

/// An image and its data file, in memory.
struct Pair {
    Bytes image = std::make_shared<std::vector<u8>>();
    Bytes data = std::make_shared<std::vector<u8>>();
    std::vector<std::string> asked = {}; // names of files that were to be opened

    OpenSibling opener()
    {
        return [this](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
            asked.push_back(name);
            return std::unique_ptr<ByteSource>{std::make_unique<MemorySource>(data)};
        };
    }
    OpenContext context() { return {.open_sibling = opener(), .trust_data_files = true}; }
    std::unique_ptr<ChainDisk> disk()
    {
        OpenContext c = context();
        std::vector<Layer> layers;
        layers.push_back({.image = need(kDriver.open(std::make_unique<MemorySource>(image), c)),
                          .path = "memory",
                          .format = "qcow2"});
        return std::make_unique<ChainDisk>(std::move(layers), false);
    }
    CheckReport check()
    {
        OpenContext c = context();
        c.purpose = OpenFor::check;
        auto opened = need(kDriver.open(std::make_unique<MemorySource>(image), c));
        return need(opened->check(Repair::none, [](const std::string&) {}));
    }
};

void make(Pair& pair, const CreateParameters& parameters)
{
    MemorySource file{pair.image};
    const auto made = qcow2::create(file, parameters, pair.opener());
    if (!made) {
        FAIL(made.error().message);
    }
}

std::string refusal(Pair& pair, OpenContext context)
{
    auto opened = kDriver.open(std::make_unique<MemorySource>(pair.image), context);
    return opened ? "opened" : opened.error().message;
}

} // namespace

TEST_CASE("qcow2 data file: every cluster is at its guest offset, and the image counts none")
{
    const bool extended = GENERATE(false, true);
    Pair pair;
    make(pair, {.size = kSize, .extended_l2 = extended, .data_file = "d.raw"});
    CHECK(pair.data->size() == kSize);
    {
        auto disk = pair.disk();
        REQUIRE(disk->write(65536 * 2 + 100, std::vector<u8>(1000, 7)));
        REQUIRE(disk->write(kSize - 512, std::vector<u8>(512, 8)));
        REQUIRE(disk->flush());
        const auto extent = need(disk->find(65536 * 2, 65536, MapDetail::exact)).extent;
        CHECK(extent.kind == Extent::Kind::data);
        CHECK(extent.at.bytes == 65536 * 2);
        CHECK(extent.in != nullptr);
    }

    CHECK((*pair.data)[65536 * 2 + 100] == 7);
    CHECK(pair.data->size() == kSize); // not a byte longer than the disk
    CHECK(pair.image->size() == 5 * 65536);
    std::vector<u8> expected(kSize);
    std::fill_n(expected.begin() + 65536 * 2 + 100, 1000, u8{7});
    std::fill_n(expected.begin() + kSize - 512, 512, u8{8});
    CHECK(test::read_all(*pair.disk()) == expected);
    CHECK(pair.check().corruptions == 0);
    CHECK(pair.check().leaks == 0);
    CHECK(pair.check().allocated_clusters == 2);
}

TEST_CASE("qcow2 data file: random writes read as written")
{
    Pair pair;
    make(pair, {.size = kSize, .cluster_size = 4096, .data_file = "d.raw"});
    const auto mirror = test::scribble(*pair.disk(), 3, 60, 20000);
    CHECK(test::read_all(*pair.disk()) == mirror);
    CHECK(pair.check().corruptions == 0);
    CHECK(pair.check().leaks == 0);
}

TEST_CASE("qcow2 data file: a raw one is the disk at all times, zeroes included")
{
    Pair pair;
    make(pair, {.size = kSize, .data_file = "d.raw", .data_file_is_raw = true});
    // A raw file may be written by others before: its tables say so from the start.
    (*pair.data)[70000] = 5;
    CHECK(test::read_all(*pair.disk())[70000] == 5);

    const auto mirror = test::scribble(*pair.disk(), 4, 60, 20000);

    CHECK(*pair.data == mirror);
    CHECK(test::read_all(*pair.disk()) == mirror);
    // Opened for writing, it is still a raw one.
    CHECK((base::load_be<u64>(*pair.image, 88) & autoclear::raw_data_file) != 0);
}

TEST_CASE("qcow2 data file: it is opened only when the caller allows it")
{
    Pair pair;
    make(pair, {.size = kSize, .data_file = "d.raw"});
    pair.asked.clear();

    CHECK(refusal(pair, {.open_sibling = pair.opener()}) ==
          "the image keeps its data in another file, 'd.raw', which is not opened without the "
          "caller's permission");
    CHECK(refusal(pair, {.trust_data_files = true}) ==
          "the image keeps its data in another file, 'd.raw', which is not opened without the "
          "caller's permission");
    CHECK(pair.asked.empty());
    CHECK(refusal(pair, pair.context()) == "opened");
    CHECK(pair.asked == std::vector<std::string>{"d.raw"});
}

TEST_CASE("qcow2 data file: to look at the image alone, its data file is not needed")
{
    Pair pair;
    make(pair, {.size = kSize, .data_file = "d.raw"});
    pair.asked.clear();
    OpenContext context{.no_io = true};
    auto image = need(kDriver.open(std::make_unique<MemorySource>(pair.image), context));

    CHECK(image->info().size == kSize);
    CHECK(pair.asked.empty());
}

TEST_CASE("qcow2 data file: what the user names comes before what the image says")
{
    Pair pair;
    make(pair, {.size = kSize, .data_file = "d.raw"});
    // The image is not trusted to name it, and need not be.
    OpenContext context{.open_sibling = pair.opener(), .data_file_given = true};
    CHECK(refusal(pair, context) == "opened");

    Pair plain;
    make(plain, {.size = kSize});
    CHECK(refusal(plain, context) ==
          "'data-file' can only be set for images with an external data file");
}

TEST_CASE("qcow2 data file: entries that lead elsewhere are errors")
{
    Pair pair;
    make(pair, {.size = kSize, .data_file = "d.raw"});
    REQUIRE(pair.disk()->write(0, std::vector<u8>(65536 * 2, 1)));
    std::vector<u8> sector(512);
    SECTION("another offset")
    {
        base::store_be<u64>(*pair.image, kL2, entry::copied | 65536);
        CHECK(pair.disk()->read(0, sector).error().message ==
              "qcow2: External data file host cluster offset 0x10000 does not match guest cluster "
              "offset: 0x0");
    }
    SECTION("a compressed cluster")
    {
        base::store_be<u64>(*pair.image, kL2, entry::compressed | 65536);
        CHECK(pair.disk()->read(0, sector).error().message ==
              "qcow2: Compressed cluster entry found in image with external data file (guest "
              "offset: 0x0)");
        CHECK(pair.check().corruptions == 1);
    }
    CHECK_FALSE(pair.disk()->write(0, sector));
}

TEST_CASE("qcow2 data file: what cannot be made is refused by name")
{
    const auto why = [](const CreateParameters& p) { return check_parameters(p).error().message; };
    CHECK(why({.size = 1, .data_file_is_raw = true}) == "data-file-raw requires data-file");
    CHECK(why({.size = 1, .data_file = "d", .data_file_is_raw = true, .backing_name = "b"}) ==
          "Backing file and data-file-raw cannot be used at the same time");
    CHECK(why({.size = 1, .version = 2, .data_file = "d"}) ==
          "External data files are only supported with compatibility level 1.1 and above (use "
          "version=v3 or greater)");
}
