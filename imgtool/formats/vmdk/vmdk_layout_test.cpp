#include "base/endian.hpp"
#include "imgtool/formats/vmdk/descriptor.hpp"
#include "imgtool/formats/vmdk/layout.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::vmdk;
using img::test::need;

namespace {

constexpr u64 kFileSize = 65536;

HostedHeader good_header()
{
    return {.capacity = 131072, .redundant_directory = 21, .directory = 26, .overhead = 128};
}

std::string refusal(const HostedHeader& header)
{
    const auto parsed = parse_hosted(encode_hosted(header));
    if (!parsed) {
        return parsed.error().message;
    }
    const auto geometry = hosted_geometry(parsed.value(), kFileSize);
    return geometry ? "accepted" : geometry.error().message;
}

template <class T>
std::string refusal_with(T HostedHeader::*field, T value)
{
    HostedHeader header = good_header();
    header.*field = value;
    return refusal(header);
}

std::string esx_refusal(std::size_t offset, u32 value)
{
    std::vector<u8> sector(512);
    base::store_le<u32>(sector, 0, kEsxMagic);
    base::store_le<u32>(sector, 4, 1);
    base::store_le<u32>(sector, 12, 8192 * 128);
    base::store_le<u32>(sector, 16, 128);
    base::store_le<u32>(sector, 20, 4);
    base::store_le<u32>(sector, 24, 2);
    base::store_le<u32>(sector, offset, value);
    const auto parsed = parse_esx(sector);
    return parsed ? "accepted" : parsed.error().message;
}

std::string line_refusal(const std::string& line)
{
    const auto lines = parse_extents("# Extent description\n" + line + "\n");
    return lines ? "accepted" : lines.error().message;
}

constexpr std::string_view kText = "# Disk DescriptorFile\n"
                                   "version=1\n"
                                   "CID=fffffffe\r\n"
                                   "parentCID=0000abcd\n"
                                   "createType=\"monolithicFlat\"\n"
                                   "parentFileNameHint=\"base.vmdk\"\n"
                                   "RW 100 FLAT \"a b-flat.vmdk\" 7\n"
                                   "  RDONLY  20   SPARSE  \"c.vmdk\"\n"
                                   "RW 0 FLAT \"none\" 0\n"
                                   "RW 5 ZERO\n"
                                   "ddb.adapterType = \"ide\"\n";

} // namespace

TEST_CASE("vmdk header: what is encoded is parsed again")
{
    const auto header = need(parse_hosted(encode_hosted(good_header())));
    const Geometry g = need(hosted_geometry(header, kFileSize));

    CHECK(g.capacity == 131072);
    CHECK(g.grain == 128);
    CHECK(g.directory_entries == 2);
    CHECK(g.directory == 26);
    CHECK(g.redundant_directory == 21);
    CHECK(g.table_sectors() == 4);
    CHECK_FALSE(g.packed);
}

TEST_CASE("vmdk header: each field that can lie is refused by name")
{
    CHECK(refusal(good_header()) == "accepted");
    CHECK(refusal_with(&HostedHeader::version, 4u) == "Unsupported VMDK version 4");
    CHECK(refusal_with(&HostedHeader::grain, u64{0}) == "L1 entry size is invalid");
    CHECK(refusal_with(&HostedHeader::grain, ~u64{0}) ==
          "Invalid granularity, image may be corrupt");
    CHECK(refusal_with(&HostedHeader::grain, u64{0x20'0001}) ==
          "Invalid granularity, image may be corrupt");
    CHECK(refusal_with(&HostedHeader::table_entries, 0u) == "L1 entry size is invalid");
    CHECK(refusal_with(&HostedHeader::table_entries, 513u) == "L2 table size too big");
    CHECK(refusal_with(&HostedHeader::capacity, ~u64{0}) == "L1 size too big");
    CHECK(refusal_with(&HostedHeader::overhead, u64{129}) ==
          "File truncated, expecting at least 66048 bytes");
    CHECK(refusal_with(&HostedHeader::overhead, ~u64{0}) == "File truncated");
    CHECK(refusal_with(&HostedHeader::directory, ~u64{1}) ==
          "the grain directory is beyond the end of the file");
    HostedHeader packed = good_header();
    packed.compression = 1;
    packed.grain = 0x10000;
    CHECK(refusal(packed) == "compressed grains of 65536 sectors are too large");
}

TEST_CASE("vmdk header: COWD extents are checked as well")
{
    CHECK(esx_refusal(4, 1) == "accepted");
    CHECK(esx_refusal(4, 2) == "Unsupported VMDK version 2");
    CHECK(esx_refusal(16, 0) == "L1 entry size is invalid");
    CHECK(esx_refusal(16, 0x20'0001) == "Invalid granularity, image may be corrupt");
    CHECK(esx_refusal(24, 1) == "the grain directory is too small for the extent");
    CHECK(esx_refusal(24, 0xffff'ffff) == "L1 size too big");
}

TEST_CASE("vmdk footer: both markers must be there")
{
    std::vector<u8> sectors(3 * 512);
    CHECK(parse_footer(sectors).error().message == "Invalid footer");
    base::store_le<u32>(sectors, 12, 3);
    std::ranges::copy(encode_hosted(good_header()), sectors.begin() + 512);
    CHECK(need(parse_footer(sectors)).directory == 26);
    sectors[1024 + 12] = 1;
    CHECK(parse_footer(sectors).error().message == "Invalid footer");
}

TEST_CASE("vmdk descriptor: header and extents are read")
{
    const Descriptor d = need(parse_descriptor(kText));
    CHECK(d.cid == 0xfffffffe);
    CHECK(d.parent_cid == 0xabcd);
    CHECK(d.type == "monolithicFlat");
    CHECK(d.parent_name == "base.vmdk");

    const auto extents = need(parse_extents(kText));
    REQUIRE(extents.size() == 3);
    CHECK(extents[0].name == "a b-flat.vmdk");
    CHECK(extents[0].sectors == 100);
    CHECK(extents[0].offset == 7);
    CHECK(extents[1].type == "SPARSE");
    CHECK(extents[1].access == ExtentLine::Access::read_only);
    CHECK(extents[2].type == "ZERO");
}

TEST_CASE("vmdk descriptor: what it lacks and wrong lines are refused")
{
    CHECK(parse_descriptor("CID=1\n").error().message == "invalid VMDK image descriptor");
    CHECK(parse_descriptor("CID=x\nparentCID=1\n").error().code == base::Errc::corrupt);
    CHECK(line_refusal("RW 100 FLAT \"x\"") == "Invalid extent line: RW 100 FLAT \"x\"");
    CHECK(line_refusal("RW 100 FLAT \"x\" -1") == "Invalid extent line: RW 100 FLAT \"x\" -1");
    CHECK(line_refusal("RW 100 SPARSE \"x\" 1") == "Invalid extent line: RW 100 SPARSE \"x\" 1");
    CHECK(line_refusal("RW 100 FLAT x 1") == "Invalid extent line: RW 100 FLAT x 1");
    CHECK(line_refusal("RW -5 FLAT \"x\" 1") == "Invalid extent line: RW -5 FLAT \"x\" 1");
    CHECK(line_refusal("RW 9 SESPARSE \"x\"") == "Unsupported extent type 'SESPARSE'");
    CHECK(line_refusal("NOACCESS 9 FLAT \"x\" 0") == "extents with NOACCESS are not supported");
    std::string many;
    for (int i = 0; i < 4097; ++i) {
        many += "RW 1 FLAT \"x\" 0\n";
    }
    CHECK(line_refusal(many) == "more than 4096 extents");
}

TEST_CASE("vmdk descriptor: a new CID is put in place of the old")
{
    const auto patch = replace_cid(kText, 0x12ab);

    REQUIRE(patch);
    CHECK(patch->bytes == "000012ab");
    CHECK(kText.substr(patch->at, patch->replaces) == "fffffffe");
    CHECK_FALSE(replace_cid("parentCID=1\n", 5));
}

TEST_CASE("vmdk descriptor: files are told by their first lines")
{
    CHECK(looks_like_descriptor("# Disk DescriptorFile\nversion=1\n"));
    CHECK(looks_like_descriptor("#x\r\n\r\n  \nversion=3\r\nfoo"));
    CHECK_FALSE(looks_like_descriptor("# Disk DescriptorFile\nversion=4\n"));
    CHECK_FALSE(looks_like_descriptor("# Disk DescriptorFile\nversion=1"));
    CHECK_FALSE(looks_like_descriptor("x\nversion=1\n"));
    CHECK_FALSE(looks_like_descriptor(""));
}

TEST_CASE("vmdk descriptor: extents in the host's special folders are refused")
{
    CHECK(is_plain_file_name("disk-flat.vmdk"));
    CHECK(is_plain_file_name("dev/disk.vmdk"));
    CHECK(is_plain_file_name("/images/dev/disk.vmdk"));
    CHECK_FALSE(is_plain_file_name("/dev/sda"));
    CHECK_FALSE(is_plain_file_name("//dev/../dev/sda"));
    CHECK_FALSE(is_plain_file_name("../../dev/sda"));
    CHECK_FALSE(is_plain_file_name("/proc/self/mem"));
}
