#include "imgtool/formats/vdi/vdi.hpp"

#include "base/endian.hpp"
#include "imgtool/formats/vdi/vdi_layout.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::vdi;
using img::test::need;
using Bytes = std::shared_ptr<std::vector<u8>>;

namespace {

constexpr u64 kMiB = u64{1} << 20;

Bytes make(u64 size, const char* fixed = "off")
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{.identity = &Identity::reproducible()};
    REQUIRE(kDriver.create(file, {{"size", std::to_string(size)}, {"static", fixed}}, context));
    return bytes;
}

std::unique_ptr<Image> open(const Bytes& bytes, OpenFor purpose = OpenFor::use)
{
    return need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), purpose));
}

ChainDisk disk_of(const Bytes& bytes)
{
    std::vector<Layer> layers;
    layers.push_back({.image = open(bytes), .path = "memory", .format = "vdi"});
    return ChainDisk{std::move(layers), false};
}

void put(const Bytes& bytes, u64 at, u32 value)
{
    base::store_le<u32>(*bytes, at, value);
}

std::string refusal(const Bytes& bytes)
{
    auto image = open_alone(kDriver, std::make_unique<MemorySource>(bytes));
    return image ? "" : image.error().message;
}

CheckReport check(const Bytes& bytes, Repair repair, std::string* problems = nullptr)
{
    auto image = open(bytes, OpenFor::check);
    return need(image->check(repair, [&](const std::string& problem) {
        if (problems != nullptr) {
            *problems += problem + "\n";
        }
    }));
}

} // namespace

TEST_CASE("vdi: what a header cannot say is refused with its name")
{
    struct Lie {
        u64 at;
        u32 value;
        std::string message;
    };
    for (const Lie& lie : {
             Lie{0x40, 1, "Image not in VDI format (bad signature 00000001)"},
             Lie{0x44, 0x20001, "unsupported VDI image (version 2.1)"},
             Lie{0x154, 513, "unsupported VDI image (unaligned block map offset 0x201)"},
             Lie{0x154, 0, "the VDI image's block map lies on its header"},
             Lie{0x158, 513, "unsupported VDI image (unaligned data offset 0x201)"},
             Lie{0x168, 4096, "unsupported VDI image (sector size 4096 is not 512)"},
             Lie{0x178, 512, "unsupported VDI image (block size 512 is not 1048576)"},
             Lie{0x180, 2,
                 "unsupported VDI image (disk size 3145728, image bitmap has room for "
                 "2097152)"},
             Lie{0x180, 0x20000000,
                 "unsupported VDI image (too many blocks 536870912, max is "
                 "536870784)"},
             Lie{0x174, 0x20000,
                 "Unsupported VDI image size (size is 0x2000000300000, max "
                 "supported is 0x1fffff8000000)"},
             Lie{0x1a8, 1, "unsupported VDI image (non-NULL link UUID)"},
             Lie{0x1b8, 1, "unsupported VDI image (non-NULL parent UUID)"},
         }) {
        const Bytes bytes = make(3 * kMiB);
        put(bytes, lie.at, lie.value);
        CHECK(refusal(bytes) == lie.message);
    }
}

TEST_CASE("vdi: a new image has the numbers and IDs that it should")
{
    const Bytes dynamic = make(3 * kMiB + 5);
    CHECK(dynamic->size() == 1024);
    const Header header = need(parse_header(*dynamic));
    CHECK(header.disk_size == 3 * kMiB + 512);
    CHECK(header.blocks == 4);
    CHECK(header.allocated == 0);
    CHECK(header.data_at == 1024);
    CHECK((header.image_id[7] & 0xf0) == 0x40); // version 4, in a 16-bit number
    CHECK(*dynamic == *make(3 * kMiB + 5));

    const Bytes fixed = make(2 * kMiB, "on");
    CHECK(fixed->size() == 1024 + 2 * kMiB);
    CHECK(check(fixed, Repair::none).corruptions == 0);
    CHECK(open(fixed)->map(GuestOffset{5}, kMiB * 9, MapDetail::exact).value().length ==
          2 * kMiB - 5);
}

TEST_CASE("vdi: what is written is there when opened again, behind other data too")
{
    const Bytes bytes = make(7 * kMiB + 512);
    std::vector<u8> mirror;
    {
        ChainDisk disk = disk_of(bytes);
        mirror = test::scribble(disk, 1, 60, 700'000);
    }
    ChainDisk disk = disk_of(bytes);
    CHECK(test::read_all(disk) == mirror);
    CHECK(check(bytes, Repair::none).corruptions == 0);
    CHECK(check(bytes, Repair::none).leaks == 0);
}

TEST_CASE("vdi: check tells of lost, shared and impossible blocks, and repairs them")
{
    const Bytes bytes = make(5 * kMiB);
    {
        ChainDisk disk = disk_of(bytes);
        REQUIRE(disk.write(0, test::noise(3 * kMiB, 1)));
    }
    put(bytes, kFieldAllocated, 4);
    std::string problems;
    CHECK(check(bytes, Repair::none, &problems).leaks == 1);
    CHECK(problems == "ERROR: allocated blocks mismatch, is 3, should be 4\n");
    CHECK(check(bytes, Repair::leaks).leaks_fixed == 1);
    CHECK(check(bytes, Repair::none).leaks == 0);

    put(bytes, 512 + 4 * 3, 1); // shares the second's block
    put(bytes, 512 + 4 * 4, 9);
    problems.clear();
    CHECK(check(bytes, Repair::none, &problems).corruptions == 3);
    CHECK(problems == "ERROR: block index 1 also used by 1\n"
                      "ERROR: block index 4 too large, is 9\n"
                      "ERROR: allocated blocks mismatch, is 4, should be 3\n");
    CHECK(check(bytes, Repair::all).corruptions_fixed == 3);
    CHECK(check(bytes, Repair::none).corruptions == 0);
    ChainDisk disk = disk_of(bytes);
    const std::vector<u8> now = test::read_all(disk);
    CHECK(std::equal(now.begin() + kMiB, now.begin() + 2 * kMiB, now.begin() + 3 * kMiB));
}

TEST_CASE("vdi: a map past the end of the file is told of when it is needed")
{
    const Bytes bytes = make(3 * kMiB);
    put(bytes, 0x154, 1 << 20);
    ChainDisk disk = disk_of(bytes);
    std::vector<u8> into(512);
    CHECK(disk.read(0, into).error().message == "the block table ends past the end of the file");
    CHECK(!disk.write(0, into));
    CHECK(!disk.write_zeroes(0, kMiB));
}

TEST_CASE("vdi: a map cannot send writes into the header")
{
    const Bytes bytes = make(5 * kMiB);
    put(bytes, 0x158, 0);
    put(bytes, 512, 0);
    ChainDisk disk = disk_of(bytes);
    CHECK(!disk.write(0, test::noise(512, 1)));
    CHECK(!disk.write(kMiB, test::noise(512, 1)));
    CHECK(!disk.write_zeroes(0, kMiB));
}

TEST_CASE("vdi crash: cut anywhere, an image is sound and has what was flushed")
{
    const auto recording = test::record_writes(kDriver, *make(4 * kMiB), 60'000, 1);

    CHECK(test::check_prefixes(recording, 5) > 10);
    CHECK(test::check_losses(recording, 2) > 20);
}
