#include "imgtool/formats/dmg/dmg.hpp"

#include "base/endian.hpp"
#include "imgtool/chain/chain.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/formats/dmg/dmg_layout.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <bzlib.h>

using namespace img;
using namespace img::dmg;
using img::test::need;

namespace {

struct Run {
    u32 type;
    u64 sector, sectors, at, length;
};

std::vector<u8> block_table(const std::vector<Run>& runs)
{
    std::vector<u8> table(204 + runs.size() * 40);
    base::store_be<u32>(table, 0, 0x6d697368);
    base::store_be<u32>(table, 200, static_cast<u32>(runs.size()));
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const std::size_t at = 204 + i * 40;
        base::store_be<u32>(table, at, runs[i].type);
        base::store_be<u64>(table, at + 8, runs[i].sector);
        base::store_be<u64>(table, at + 16, runs[i].sectors);
        base::store_be<u64>(table, at + 24, runs[i].at);
        base::store_be<u64>(table, at + 32, runs[i].length);
    }
    return table;
}

std::string base64(const std::vector<u8>& bytes)
{
    static constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        u32 bits = 0;
        for (std::size_t k = 0; k < 3; ++k) {
            bits = bits << 8 | (i + k < bytes.size() ? bytes[i + k] : 0u);
        }
        for (std::size_t k = 0; k < 4; ++k) {
            text += i * 4 / 3 + k > (bytes.size() * 8 - 1) / 6 ? '='
                                                               : kDigits[bits >> (18 - 6 * k) & 63];
        }
        text += i % 48 == 45 ? "\n\t" : "";
    }
    return text;
}

enum class Tables { property_list, resource_fork };

/// `data` is the data fork.
std::vector<u8> image_of(const std::vector<u8>& data, u64 sectors, const std::vector<Run>& runs,
                         Tables where = Tables::property_list)
{
    std::vector<u8> file = data;
    const std::vector<u8> table = block_table(runs);
    std::vector<u8> tables;
    if (where == Tables::property_list) {
        const std::string text = "<plist><data>AAAA</data><data>\n" + base64(table) + "</data>";
        tables.assign(text.begin(), text.end());
    } else {
        tables.resize(256 + 4);
        base::store_be<u32>(tables, 0, 256);
        base::store_be<u32>(tables, 8, static_cast<u32>(4 + table.size()));
        base::store_be<u32>(tables, 256, static_cast<u32>(table.size()));
        tables.insert(tables.end(), table.begin(), table.end());
    }
    const std::size_t tables_at = file.size();
    file.insert(file.end(), tables.begin(), tables.end());
    const std::size_t trailer = file.size();
    file.resize(trailer + 512);
    base::store_be<u32>(file, trailer, 0x6b6f6c79);
    base::store_be<u64>(file, trailer + 32, data.size());
    const std::size_t field = where == Tables::property_list ? 216 : 40;
    base::store_be<u64>(file, trailer + field, tables_at);
    base::store_be<u64>(file, trailer + field + 8, tables.size());
    base::store_be<u64>(file, trailer + 492, sectors);
    return file;
}

Result<std::unique_ptr<Image>> open(const std::vector<u8>& bytes)
{
    auto file = std::make_unique<MemorySource>(bytes);
    file->set_read_only();
    return open_alone(kDriver, std::move(file));
}

std::string refusal(const std::vector<Run>& runs)
{
    const auto image = open(image_of({}, 8, runs));
    return image ? "accepted" : image.error().message;
}

std::vector<u8> read_image(const std::vector<u8>& bytes)
{
    std::vector<Layer> layers;
    layers.push_back({.image = need(open(bytes)), .path = "memory", .format = "dmg"});
    ChainDisk disk{std::move(layers), true};
    return test::read_all(disk);
}

} // namespace

TEST_CASE("dmg: raw, zero, zlib, bzip2 and ADC chunks are read")
{
    const auto where = GENERATE(Tables::property_list, Tables::resource_fork);
    const std::vector<u8> content = test::noise(1024, 4);
    std::vector<u8> data{content.begin(), content.begin() + 512}; // raw
    Packer packer{Codec::zlib};
    std::vector<u8> packed(Packer::bound(1024));
    packed.resize(packer.pack(content, packed));
    const u64 zlib_at = data.size();
    data.insert(data.end(), packed.begin(), packed.end());
    std::vector<u8> bzipped(4096);
    auto bzip_size = static_cast<unsigned>(bzipped.size());
    REQUIRE(
        BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(bzipped.data()), &bzip_size,
                                 const_cast<char*>(reinterpret_cast<const char*>(content.data())),
                                 1024, 9, 0, 0) == BZ_OK);
    bzipped.resize(bzip_size);
    const u64 bzip_at = data.size();
    data.insert(data.end(), bzipped.begin(), bzipped.end());
    const u64 adc_at = data.size();
    // "abc", then 512 - 3 bytes copied from three bytes back.
    std::vector<u8> adc{0x82, 'a', 'b', 'c'};
    for (int left = 509; left != 0;) {
        const int n = std::min(left, 67); // never leaves less than 4
        adc.insert(adc.end(), {static_cast<u8>(0x40 | (n - 4)), 0, 2});
        left -= n;
    }
    data.insert(data.end(), adc.begin(), adc.end());

    const auto bytes = read_image(image_of(data, 8,
                                           {{0x80000005, 3, 2, zlib_at, packed.size()},
                                            {1, 0, 1, 0, 512},
                                            {2, 1, 2, 0, 0},
                                            {0x7ffffffe, 0, 0, 0, 0},
                                            {0x80000006, 5, 2, bzip_at, bzipped.size()},
                                            {0x80000004, 7, 1, adc_at, adc.size()},
                                            {0xffffffff, 0, 0, 0, 0}},
                                           where));

    REQUIRE(bytes.size() == 4096);
    CHECK(std::equal(content.begin(), content.begin() + 512, bytes.begin()));
    CHECK(bytes[600] == 0);
    CHECK(std::equal(content.begin(), content.end(), bytes.begin() + 1536));
    CHECK(std::equal(content.begin(), content.end(), bytes.begin() + 2560));
    CHECK(std::string(bytes.begin() + 3584, bytes.begin() + 3591) == "abcabca");
}

TEST_CASE("dmg: chunks that are too large or make no sense are refused by name")
{
    CHECK(refusal({{0, 0, 8, 0, 0}}) == "accepted");
    CHECK(refusal({{1, 0, 0x20001, 0, 512}}) ==
          "sector count 131073 for chunk 0 is larger than max (131072)");
    CHECK(refusal({{0x80000005, 0, 1, 0, 0x4000001}}) ==
          "length 67108865 for chunk 0 is larger than max (67108864)");
    CHECK(refusal({{1, ~u64{0}, 1, 0, 512}}) == "chunk 0 is out of range");
    CHECK(refusal({{1, 0, 1, ~u64{0}, 512}}) == "chunk 0 is out of range");
    CHECK(refusal({{0x80000008, 0, 1, 0, 512}}) == "chunks of type 0x80000008 are unknown");
    CHECK(refusal({{0, 0, 4, 0, 0}, {0, 3, 5, 0, 0}}) == "two chunks have sector 3");
}

TEST_CASE("dmg: gaps and chunks that are cut off are errors when they are read")
{
    auto image = need(open(image_of({}, 8, {{0, 0, 2, 0, 0}, {1, 4, 1, 1 << 20, 512}})));

    CHECK(image->map(GuestOffset{0}, 4096, MapDetail::fast).value().length == 1024);
    CHECK(image->map(GuestOffset{1024}, 512, MapDetail::fast).error().message ==
          "no chunk has sector 2");
    CHECK(image->map(GuestOffset{2048}, 512, MapDetail::fast).error().message ==
          "the chunk of sector 4 is cut off");
}

TEST_CASE("dmg: lzfse says that its library is missing, or works")
{
    std::vector<u8> byte(512);
    const auto done = Unpacker{}.unpack(Codec::lzfse, std::vector<u8>(16), byte);

    CHECK((done.error().code == base::Errc::corrupt ||
           done.error().message ==
               "lzfse compression needs liblzfse.so.1, which this host does not have"));
}

TEST_CASE("dmg: the trailer must be there and stay inside the file")
{
    CHECK(open(std::vector<u8>(100)).error().message == "dmg file must be at least 512 bytes long");
    CHECK(open(std::vector<u8>(4096)).error().message ==
          "Could not locate UDIF trailer in dmg file");
    std::vector<u8> file = image_of({}, 8, {{0, 0, 8, 0, 0}});
    const std::size_t trailer = file.size() - 512;
    base::store_be<u64>(file, trailer + 224, ~u64{0});
    CHECK(open(file).error().message == "a part of the image lies outside the file");
    base::store_be<u64>(file, trailer + 224, 0);
    CHECK(open(file).error().message == "the image has no block tables");
}

TEST_CASE("ADC: damaged input is refused")
{
    std::vector<u8> out(16);
    for (const std::vector<u8>& bad : {std::vector<u8>{0x83, 1, 2},
                                       {0x40, 0},
                                       {0x00},
                                       {0x00, 0x00},
                                       {0x80, 1, 0x40, 0, 1},
                                       {0x80, 1, 0x7f, 0, 0}}) {
        CAPTURE(bad);
        CHECK(Unpacker{}.unpack(Codec::adc, bad, out).error().code == base::Errc::corrupt);
    }
}
