// Images made to attack whoever opens them: the published patterns, each built here by hand from
// what the advisory says, and what must come of it.
#include "base/endian.hpp"
#include "imgtool/formats/qcow/qcow.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/open.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using img::test::need;

namespace {

using base::store_be;

/// A header of version 3 with 64 KiB clusters, an L1 table of one entry and refcounts, all in
/// place.
struct Forged {
    std::vector<u8> bytes = std::vector<u8>(65536 * 5);

    Forged()
    {
        u32(0, 0x5146'49fb).u32(4, 3).u32(20, 16).u64(24, 1 << 20).u32(36, 1).u64(40, 65536 * 3);
        u64(48, 65536).u32(56, 1).u32(96, 4).u32(100, 104);
        u64(65536, 65536 * 2);
        for (std::size_t cluster = 0; cluster < 4; ++cluster) {
            store_be<base::u16>(bytes, 65536 * 2 + cluster * 2, 1);
        }
    }
    Forged& u32(std::size_t at, base::u32 value)
    {
        store_be<base::u32>(bytes, at, value);
        return *this;
    }
    Forged& u64(std::size_t at, base::u64 value)
    {
        store_be<base::u64>(bytes, at, value);
        return *this;
    }
    Forged& text(std::size_t at, std::string_view text)
    {
        std::copy(text.begin(), text.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
        return *this;
    }
    /// A name in a header extension, right behind the header.
    Forged& extension(base::u32 type, std::string_view name)
    {
        u32(104, type).u32(108, static_cast<base::u32>(name.size()));
        return text(112, name);
    }

    Result<std::unique_ptr<Image>> open(OpenContext context = {}) const
    {
        return qcow2::kDriver.open(std::make_unique<MemorySource>(bytes), context);
    }
    std::string refusal() const
    {
        auto image = open();
        return image ? "opened" : image.error().message;
    }
};

/// What opening the file at `path` says.
std::string outcome(const OpenOptions& options)
{
    auto disk = open_disk(options);
    return disk ? "opened" : disk.error().message;
}

bool contains(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("qcow2 hostile: a header that promises no refcount table is only opened to be checked")
{
    const Forged forged = std::move(Forged{}.u32(56, 0));
    auto file = std::make_unique<MemorySource>(forged.bytes);
    file->set_read_only();
    OpenContext context;

    CHECK(qcow2::kDriver.open(std::move(file), context).error().message ==
          "Image does not contain a reference count table");
    CHECK(forged.open({.purpose = OpenFor::check}));
}

TEST_CASE("qcow2: an image may end behind its header, the tables are zero then")
{
    std::vector<base::u8> bytes(72);
    store_be<base::u32>(bytes, 0, 0x5146'49fb);
    store_be<base::u32>(bytes, 4, 2);
    store_be<base::u32>(bytes, 20, 16);
    store_be<base::u64>(bytes, 24, 1 << 20);
    store_be<base::u32>(bytes, 36, 1);         // L1 entries
    store_be<base::u64>(bytes, 40, 65536);     // their place
    store_be<base::u64>(bytes, 48, 65536 * 2); // the refcount table
    store_be<base::u32>(bytes, 56, 1);

    const auto image = need(open_alone(qcow2::kDriver, std::make_unique<MemorySource>(bytes)));

    CHECK(image->size() == 1 << 20);
    const Extent extent = need(image->map(GuestOffset{0}, 1 << 20, MapDetail::exact));
    CHECK(extent.kind == Extent::Kind::backing);
    CHECK(extent.length == 1 << 20);
}

TEST_CASE("qcow2 hostile: the header that is forged is good otherwise")
{
    CHECK(Forged{}.refusal() == "opened");
}

TEST_CASE("qcow2 hostile: CVE-2014-0143, sizes of tables that overflow when multiplied")
{
    CHECK(Forged{}.u32(36, 0x2000'0001).refusal() == "Active L1 table too large");
    CHECK(Forged{}.u32(36, 0xffff'ffff).refusal() == "Active L1 table too large");
    CHECK(Forged{}.u32(60, 0x1000'0000).refusal() == "Snapshot table too large");
    CHECK(contains(Forged{}.u32(56, 0xffff'ffff).refusal(), "Reference count table too large"));
}

TEST_CASE("qcow2 hostile: CVE-2014-0144, cluster sizes and header lengths out of range")
{
    CHECK(Forged{}.u32(20, 64).refusal() == "Unsupported cluster size: 2^64");
    CHECK(Forged{}.u32(20, 8).refusal() == "Unsupported cluster size: 2^8");
    CHECK(Forged{}.u32(100, 0xffff'fff0).refusal() == "qcow2 header exceeds cluster size");
    CHECK(Forged{}.u32(100, 8).refusal() == "qcow2 header too short");
    CHECK(contains(Forged{}.u32(96, 7).refusal(), "may not exceed 64 bits"));
    CHECK(Forged{}.u32(104, 0x1234).u32(108, 0x7fff'ffff).refusal() ==
          "Header extension too large");
    CHECK(Forged{}.u64(8, 65536 * 2).refusal() == "Invalid backing file offset");
    CHECK(Forged{}.u64(8, 512).u32(16, 0x8000'0000).refusal() == "Backing file name too long");
    CHECK(Forged{}.u32(56, 0x1000).refusal() != "opened");
    CHECK(Forged{}.u64(48, ~base::u64{0}).refusal() == "Reference count table offset invalid");
}

TEST_CASE("qcow2 hostile: CVE-2014-0145, a snapshot whose L1 table is larger than memory")
{
    Forged image;
    image.u32(60, 1).u64(64, 65536 * 4);
    image.u64(65536 * 4, 65536 * 3).u32(65536 * 4 + 8, 0x2000'0000); // its L1 table
    image.text(65536 * 4 + 40, "1a");
    store_be<base::u16>(image.bytes, 65536 * 4 + 12, 1); // bytes of ID and of name
    store_be<base::u16>(image.bytes, 65536 * 4 + 14, 1);

    auto opened = image.open();
    // The table is refused here or when it is used, never taken memory for.
    if (opened) {
        CHECK_FALSE(opened.value()->view_snapshot("1"));
        CHECK_FALSE(opened.value()->apply_snapshot("1"));
        CHECK_FALSE(opened.value()->delete_snapshot("1"));
    }
    CHECK((!opened || opened.value()->info().snapshots.size() == 1));
}

TEST_CASE("qcow2 hostile: CVE-2014-0146, an error after the backing file's name was read")
{
    Forged image;
    image.u64(8, 512).u32(16, 4).text(512, "base").u32(60, 1).u64(64, ~base::u64{0} << 16);
    CHECK(image.refusal() == "Snapshot table offset invalid");
}

TEST_CASE("qcow2 hostile: CVE-2014-0147, refcount tables that end before the file does")
{
    // A table entry far outside, and a table of none: writing must not take what is not there.
    for (const base::u64 block : {base::u64{0x00ff'ffff'ffff'0000}, base::u64{0x1'0000'0200}}) {
        Forged image;
        image.u64(65536, block);
        auto opened = image.open();
        if (opened) {
            std::vector<Layer> layers;
            layers.push_back(
                {.image = std::move(opened).value(), .path = "memory", .format = "qcow2"});
            ChainDisk disk{std::move(layers), false};
            CHECK_FALSE(disk.write(0, std::vector<u8>(512, 1)));
        }
    }
    CHECK(Forged{}.u32(56, 0).refusal() == "Image does not contain a reference count table");
}

TEST_CASE("qcow2 hostile: CVE-2014-0142, sizes of nothing divide nothing")
{
    // The advisory is about another format's geometry of no sectors; here, a disk of no bytes.
    Forged image;
    image.u64(24, 0).u32(36, 0);
    auto opened = need(image.open());
    CHECK(opened->size() == 0);
    CHECK_FALSE(opened->map(GuestOffset{0}, 1, MapDetail::fast));
    CHECK_FALSE(opened->place(GuestOffset{0}, 1));
    CHECK(need(opened->check(Repair::none, [](const std::string&) {})).total_clusters == 0);
}

TEST_CASE("qcow hostile: CVE-2014-0222 and 0223, tables and disks larger than can be")
{
    std::vector<u8> bytes(4096);
    store_be<base::u32>(bytes, 0, 0x5146'49fb);
    store_be<base::u32>(bytes, 4, 1);
    store_be<u64>(bytes, 24, 1 << 20);
    bytes[32] = 12; // cluster bits
    bytes[33] = 9;  // L2 bits
    store_be<u64>(bytes, 40, 48);
    const auto opens = [&] {
        return static_cast<bool>(
            open_alone(qcow::kDriver, std::make_unique<MemorySource>(bytes), OpenFor::use));
    };
    CHECK(opens());
    SECTION("L2 tables of 2^40 entries")
    {
        bytes[33] = 40;
        CHECK_FALSE(opens());
    }
    SECTION("clusters of 2^63 bytes")
    {
        bytes[32] = 63;
        CHECK_FALSE(opens());
    }
    SECTION("a disk of nearly 2^64 bytes")
    {
        store_be<u64>(bytes, 24, 0xffff'ffff'ffff'ff00);
        CHECK_FALSE(opens());
    }
    SECTION("an L1 table of 2^52 bytes")
    {
        store_be<u64>(bytes, 24, u64{1} << 62);
        bytes[33] = 6;
        CHECK_FALSE(opens());
    }
}

TEST_CASE("qcow2 hostile: CVE-2015-5163, an uploaded image whose backing file is the host's")
{
    const test::TempDir dir;
    REQUIRE(test::run("mkdir " + (dir / "uploads")).code == 0);
    test::write_file(dir / "secret", std::vector<u8>(512, 's'));
    for (const std::string& name : {dir / "secret", std::string{"../secret"}}) {
        Forged image;
        image.u64(8, 512).u32(16, static_cast<base::u32>(name.size())).text(512, name);
        test::write_file(dir / "uploads/image", image.bytes);
        OpenOptions options{.path = dir / "uploads/image", .format = "qcow2"};
        options.backing.allow = only_inside({dir / "uploads"});

        CHECK(contains(outcome(options), "is not among the files allowed"));
        options.backing.allow = only_inside({dir.path()});
        CHECK(outcome(options) == "opened");
    }
}

TEST_CASE("qcow2 hostile: CVE-2024-4467, a data file that is the host's or a whole node")
{
    const test::TempDir dir;
    REQUIRE(test::run("mkdir " + (dir / "uploads")).code == 0);
    test::write_file(dir / "secret", std::vector<u8>(1 << 20, 's'));
    const auto forge = [&](const std::string& name) {
        Forged image;
        image.u64(72, 4).extension(0x4441'5441, name);
        test::write_file(dir / "uploads/image", image.bytes);
    };
    OpenOptions options{.path = dir / "uploads/image", .format = "qcow2"};
    SECTION("a plain name needs the caller's permission")
    {
        forge(dir / "secret");
        CHECK(contains(outcome(options), "is not opened without the caller's permission"));
        options.backing.trust_data_files = true;
        CHECK(outcome(options) == "opened");
        options.backing.allow = only_inside({dir / "uploads"});
        CHECK(contains(outcome(options), "is not among the files allowed"));
    }
    SECTION("a protocol or a description of nodes is refused whatever the caller allows")
    {
        options.backing.trust_data_files = true;
        options.backing.trust_probed = true;
        for (const std::string& name :
             {"json:{\"driver\":\"file\",\"filename\":\"" + (dir / "secret") + "\"}",
              std::string{"json:{\"driver\":\"null-co\"}"}, std::string{"nbd:unix:/tmp/s"}}) {
            forge(name);
            CHECK(outcome(options) != "opened");
        }
    }
    SECTION("whoever only asks what the image is touches no other file")
    {
        forge("json:{\"driver\":\"file\",\"filename\":\"" + (dir / "secret") + "\"}");
        options.no_io = true;
        CHECK(outcome(options) == "opened");
    }
}

TEST_CASE("qcow2 hostile: a backing file that names itself ends")
{
    const test::TempDir dir;
    Forged image;
    image.u64(8, 512).u32(16, 5).text(512, "image");
    test::write_file(dir / "image", image.bytes);

    CHECK(contains(outcome({.path = dir / "image", .format = "qcow2"}), "infinite loop"));
}

TEST_CASE("qcow2 hostile: a guest that writes a header with a data file into its raw disk gains "
          "nothing")
{
    const test::TempDir dir;
    test::write_file(dir / "secret", std::vector<u8>(1 << 20, 's'));
    Forged inner; // what the guest wrote
    inner.u64(72, 4).extension(0x4441'5441, dir / "secret");
    test::write_file(dir / "base", inner.bytes);
    Forged outer; // whose backing file is probed, as it says no format
    outer.u64(8, 512).u32(16, 4).text(512, "base");
    test::write_file(dir / "top", outer.bytes);

    OpenOptions options{.path = dir / "top", .format = "qcow2"};
    options.backing.trust_data_files = true;
    CHECK(contains(outcome(options), "is not opened without the caller's permission"));
}
