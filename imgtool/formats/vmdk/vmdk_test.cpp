#include "imgtool/formats/vmdk/vmdk.hpp"

#include "base/endian.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/formats/vmdk/layout.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

#include <map>

using namespace img;
using namespace img::vmdk;
using img::test::need;
using Subformat = CreateParameters::Subformat;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

/// The files of an image, by their names; "memory" is the first.
class Files {
public:
    OpenSibling opener()
    {
        return [this](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
            if (!files_.contains(name)) {
                return base::fail(base::Errc::io, "no such file: " + name);
            }
            return std::unique_ptr<ByteSource>{std::make_unique<MemorySource>(files_[name])};
        };
    }
    OpenSibling maker()
    {
        return [this](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
            return std::unique_ptr<ByteSource>{std::make_unique<MemorySource>((*this)[name])};
        };
    }
    Bytes& operator[](const std::string& name)
    {
        Bytes& bytes = files_[name];
        bytes = bytes ? bytes : std::make_shared<std::vector<u8>>();
        return bytes;
    }
    void set_text(const std::string& name, const std::string& text)
    {
        *(*this)[name] = {text.begin(), text.end()};
    }
    std::size_t count() const { return files_.size(); }

    Status create(const CreateParameters& parameters, const std::string& name = "memory")
    {
        CreateContext context{.make_sibling = maker(), .open_sibling = opener()};
        MemorySource file{(*this)[name]};
        return vmdk::create(file, parameters, context);
    }
    Result<std::unique_ptr<Image>> open(const std::string& name = "memory")
    {
        OpenContext context{.open_sibling = opener()};
        return kDriver.open(std::make_unique<MemorySource>((*this)[name]), context);
    }
    std::unique_ptr<ChainDisk> disk(const std::string& name = "memory",
                                    const std::string& backing = "")
    {
        std::vector<Layer> layers;
        layers.push_back({.image = need(open(name)), .path = name, .format = "vmdk"});
        if (!backing.empty()) {
            layers.push_back({.image = need(open(backing)), .path = backing, .format = "vmdk"});
        }
        return std::make_unique<ChainDisk>(std::move(layers), false);
    }
    CheckReport check(Repair repair = Repair::none)
    {
        return need(need(open())->check(repair, [](const std::string&) {}));
    }

private:
    std::map<std::string, Bytes> files_;
};

const char* kTwoFlat = "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
                       "RW 3 FLAT \"a\" 1\nRW 2 ZERO\nRDONLY 2 FLAT \"b\" 0\n";

std::string open_refusal(Files& files)
{
    const auto image = files.open();
    return image ? "accepted" : image.error().message;
}

} // namespace

TEST_CASE("vmdk: what is written is read, in one-file and many-file images")
{
    CreateParameters p{.size = 1'000'000};
    SECTION("sparse") {}
    SECTION("sparse with zeroed grains")
    {
        p.zeroed_grain = true;
    }
    SECTION("flat")
    {
        p.subformat = Subformat::monolithic_flat;
    }
    SECTION("split and sparse")
    {
        p.subformat = Subformat::two_gb_sparse;
    }
    Files files;
    REQUIRE(files.create(p));
    std::vector<u8> mirror;
    {
        auto disk = files.disk();
        CHECK(disk->size() == 1'000'448);
        CHECK(test::read_all(*disk) == std::vector<u8>(1'000'448));
        mirror = test::scribble(*disk, 1, 80, 90000);
        CHECK(test::read_all(*disk) == mirror);
    }
    CHECK(test::read_all(*files.disk()) == mirror);
    CHECK(files.check().corruptions == 0);
    CHECK(files.check().leaks == 0);
}

TEST_CASE("vmdk: extents follow one another on the disk")
{
    Files files;
    files.set_text("memory", kTwoFlat);
    *files["a"] = test::noise(4 * 512, 1);
    *files["b"] = test::noise(2 * 512, 2);

    auto disk = files.disk();
    const auto bytes = test::read_all(*disk);

    CHECK(disk->size() == 7 * 512);
    CHECK(std::equal(bytes.begin(), bytes.begin() + 1536, files["a"]->begin() + 512));
    CHECK(bytes[1536] == 0);
    CHECK(std::equal(bytes.begin() + 2560, bytes.end(), files["b"]->begin()));
    CHECK(disk->write(0, std::vector<u8>(10)));
    CHECK(disk->write(2560, std::vector<u8>(10)).error().message == "the extent is read-only");
}

TEST_CASE("vmdk: descriptors that name what they should not are refused")
{
    Files files;
    const std::string head = "version=1\nCID=1\nparentCID=ffffffff\ncreateType=";
    files.set_text("memory", head + "\"monolithicFlat\"\nRW 3 FLAT \"/dev/sda\" 0\n");
    CHECK(open_refusal(files) == "the extent '/dev/sda' may not be opened");
    files.set_text("memory", head + "\"custom\"\nRW 3 FLAT \"a\" 0\n");
    CHECK(open_refusal(files) == "Unsupported image type 'custom'");
    files.set_text("memory", head + "\"monolithicFlat\"\nRW 3 FLAT \"gone\" 0\n");
    CHECK(open_refusal(files) == "no such file: gone");
    files.set_text("memory", head + "\"twoGbMaxExtentSparse\"\nRW 3 SPARSE \"memory\"\n");
    CHECK(open_refusal(files) == "Image not in VMDK format"); // itself
    files.set_text("memory", "ab");
    CHECK(open_refusal(files) == "File is too small, not a valid image");
}

TEST_CASE("vmdk: the first write gives an image a new CID, which its overlays notice")
{
    Files files;
    REQUIRE(files.create({.size = 1 << 20}, "base"));
    {
        auto base = files.disk("base");
        REQUIRE(base->write(0, std::vector<u8>(100, 7)));
    }
    REQUIRE(files.create({.size = 1 << 20, .backing_name = "base"}));
    CHECK(need(files.open())->info().backing_name == "base");
    CHECK(test::read_all(*files.disk("memory", "base"))[99] == 7);
    {
        auto base = files.disk("base");
        REQUIRE(base->write(0, std::vector<u8>(100, 8)));
    }

    std::vector<u8> byte(1);
    CHECK_FALSE(files.disk("memory", "base")->read(0, byte));
}

TEST_CASE("vmdk: a stream of compressed grains is written once and read")
{
    Files files;
    REQUIRE(files.create({.size = 65536 * 3 + 512, .subformat = Subformat::stream_optimized}));
    const std::vector<u8> data = test::noise(65536, 3);
    {
        auto image = need(files.open());
        REQUIRE(image->packing());
        CHECK(image->packing()->always);
        Packer packer{Codec::zlib};
        std::vector<u8> packed(Packer::bound(65536));
        const std::size_t n = packer.pack(data, packed);
        REQUIRE(image->write_packed(GuestOffset{65536}, std::span{packed}.first(n)));
        CHECK(image->write_packed(GuestOffset{65536}, std::span{packed}.first(n)).error().message ==
              "Could not write to allocated cluster for streamOptimized");
        // A last grain that was packed without what is beyond the disk.
        const std::size_t m = packer.pack(std::span{data}.first(512), packed);
        REQUIRE(image->write_packed(GuestOffset{65536 * 3}, std::span{packed}.first(m)));
        CHECK_FALSE(image->place(GuestOffset{0}, 512));
    }
    auto bytes = test::read_all(*files.disk());
    CHECK(std::equal(data.begin(), data.end(), bytes.begin() + 65536));
    CHECK(std::equal(data.begin(), data.begin() + 512, bytes.begin() + 65536 * 3));
    CHECK(bytes[0] == 0);
    CHECK(files.check().corruptions == 0);
}

TEST_CASE("vmdk: COWD extents are read, and get tables when written")
{
    Files files;
    std::vector<u8>& file = *files["memory"];
    file.resize(5 * 512);
    base::store_le<u32>(file, 0, kEsxMagic);
    base::store_le<u32>(file, 4, 1);
    base::store_le<u32>(file, 12, 5000); // sectors
    base::store_le<u32>(file, 16, 16);   // sectors of a grain
    base::store_le<u32>(file, 20, 4);    // the directory's sector
    base::store_le<u32>(file, 24, 1);    // its entries

    std::vector<u8> mirror;
    {
        auto disk = files.disk();
        CHECK(disk->size() == 5000 * 512);
        mirror = test::scribble(*disk, 5, 40, 30000);
    }
    CHECK(test::read_all(*files.disk()) == mirror);
    CHECK(files.check().corruptions == 0);
}

TEST_CASE("vmdk check: entries that lead nowhere are corruptions, old copies are repaired")
{
    Files files;
    REQUIRE(files.create({.size = 1 << 20}));
    REQUIRE(files.disk()->write(0, std::vector<u8>(200'000, 1)));
    std::vector<u8>& file = *files["memory"];
    const std::size_t copy = 22 * 512; // behind the redundant directory
    const std::size_t table = 27 * 512;
    REQUIRE(base::load_le<u32>(file, table) == 128);
    CHECK(files.check().corruptions == 0);

    base::store_le<u32>(file, copy + 4, 0);
    CHECK(files.check().leaks == 1);
    CHECK(files.check(Repair::leaks).leaks_fixed == 1);
    CHECK(files.check().leaks == 0);

    base::store_le<u32>(file, table, 0x10'0000);
    CHECK(files.check().corruptions == 1);
    base::store_le<u32>(file, table, base::load_le<u32>(file, table + 4));
    CHECK(files.check().corruptions == 1);
    base::store_le<u32>(file, table, 2);
    CHECK(files.check().corruptions == 1);
}

TEST_CASE("vmdk create: what makes no sense is refused")
{
    Files files;
    const auto complaint = [&](const CreateParameters& p) {
        const auto made = files.create(p);
        return made ? "accepted" : made.error().message;
    };
    CHECK(complaint({.subformat = Subformat::monolithic_flat, .zeroed_grain = true}) ==
          "Flat image can't enable zeroed grain");
    CHECK(complaint({.subformat = Subformat::two_gb_flat, .backing_name = "x"}) ==
          "Flat image can't have backing file");
    CHECK(complaint({.size = 1 << 20, .tools = "1\"\nRW 1 FLAT \"x\" 0"}) ==
          "quotes and line breaks cannot be part of a VMDK descriptor's values");
    CHECK(complaint({.size = u64{1} << 60}) ==
          "The image size is too large for file format 'vmdk'");
    *files["raw"] = std::vector<u8>(512, 1);
    CHECK(complaint({.size = 1 << 20, .backing_name = "raw"}) ==
          "backing_file must be a vmdk image");
}

TEST_CASE("vmdk create: with a fixed identity the same image is made every time")
{
    const auto make = [] {
        auto bytes = std::make_shared<std::vector<u8>>();
        MemorySource file{bytes};
        CreateContext context{.identity = &Identity::reproducible()};
        REQUIRE(vmdk::create(file, {.size = 1 << 20}, context));
        return *bytes;
    };
    CHECK(make() == make());
}

TEST_CASE("vmdk crash: killed at any write or with writes lost, an image has what was flushed")
{
    Files files;
    REQUIRE(files.create({.size = 4 << 20}));
    const auto recording = test::record_writes(kDriver, *files["memory"], 32768, 1);

    CHECK(test::check_prefixes(recording, 5) > 30);
    CHECK(test::check_losses(recording, 3) > 20);
}
