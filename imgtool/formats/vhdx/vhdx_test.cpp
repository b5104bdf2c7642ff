#include "imgtool/formats/vhdx/vhdx.hpp"

#include "base/endian.hpp"
#include "imgtool/filter/crc32c.hpp"
#include "imgtool/formats/vhdx/log.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::vhdx;
using img::test::need;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

constexpr u64 kBatAt = 2 << 20; // with a log of 1 MiB
constexpr u64 kMetadataAt = 3 << 20;

Bytes created(const CreateSettings& settings)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{.identity = &Identity::reproducible()};
    REQUIRE(kDriver.create(file, need(complete_settings(kDriver, settings)), context));
    return bytes;
}

Bytes small(const std::string& size)
{
    return created({{"size", size}, {"block_size", "1M"}});
}

std::unique_ptr<ChainDisk> open_disk_in(const Bytes& bytes)
{
    std::vector<Layer> layers;
    layers.push_back({.image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes))),
                      .path = "memory",
                      .format = "vhdx"});
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

/// A file that may not be written.
class ReadOnlySource final : public ByteSource {
public:
    explicit ReadOnlySource(const Bytes& bytes) : memory_{bytes} {}
    const std::string& name() const override { return memory_.name(); }
    u64 size() const override { return memory_.size(); }
    bool read_only() const override { return true; }
    u64 allocated() const override { return memory_.size(); }
    Status read(FileOffset at, std::span<u8> into) override { return memory_.read(at, into); }
    Result<Run> run_at(FileOffset at) override { return memory_.run_at(at); }
    Status write(FileOffset, std::span<const u8>) override { return refuse(); }
    Status zero(FileOffset, u64) override { return refuse(); }
    Status resize(u64) override { return refuse(); }
    Status reserve(FileOffset, u64) override { return refuse(); }
    Status flush() override { return refuse(); }

private:
    static Status refuse() { return base::fail(base::Errc::io, "read-only"); }
    MemorySource memory_;
};

std::string refusal(const Bytes& bytes)
{
    auto image = open_alone(kDriver, std::make_unique<ReadOnlySource>(bytes));
    return image ? "accepted" : image.error().message;
}

std::string checked(const Bytes& bytes)
{
    std::string text;
    auto image = need(open_alone(kDriver, std::make_unique<ReadOnlySource>(bytes), OpenFor::check));
    const auto report =
        need(image->check(Repair::none, [&](const std::string& line) { text += line + "\n"; }));
    return text + std::to_string(report.corruptions);
}

/// The newest header, and a change of it.
void set_header(const Bytes& bytes, const std::function<void(Header&)>& change)
{
    const auto at = [&](u64 offset) {
        return std::span{*bytes}.subspan(offset).first<kHeaderSize>();
    };
    Header header = need(parse_header(at(kHeaderAt[0])));
    const Header other = need(parse_header(at(kHeaderAt[1])));
    header = other.sequence > header.sequence ? other : header;
    change(header);
    ++header.sequence;
    for (const u64 offset : kHeaderAt) {
        ++header.sequence;
        std::ranges::copy(encode_header(header), at(offset).begin());
    }
}

/// Puts an entry into the log that makes the BAT's first sector as `block_at` says.
void log_bat(const Bytes& bytes, LogWriter& log, u64 block_at)
{
    std::vector<u8> sector(kLogSector);
    base::store_le<u64>(sector, 0, encode_entry(BlockState::fully_present, block_at));
    REQUIRE(log.write({{kBatAt, sector}}));
    set_header(bytes, [&](Header& header) { header.log_guid = log.id(); });
}

} // namespace

TEST_CASE("vhdx: what is written is read again, from every kind of disk")
{
    const auto bytes = GENERATE(as<Bytes>{}, small("5000192"),
                                created({{"size", "3000000"}, {"subformat", "fixed"}}),
                                created({{"size", "9000000"}, {"block_state_zero", "off"}}),
                                created({{"size", "2500000"}, {"log_size", "3M"}}));
    std::vector<u8> mirror;
    {
        auto disk = open_disk_in(bytes);
        mirror = img::test::scribble(*disk, 1, 60, 300'000);
        CHECK(img::test::read_all(*disk) == mirror);
    }
    CHECK(img::test::read_all(*open_disk_in(bytes)) == mirror);
    CHECK(refusal(bytes) == "accepted"); // closed with an empty log
    CHECK(checked(bytes) == "0");
    CHECK(bytes->size() % kMiB == 0);
}

TEST_CASE("vhdx: a log is replayed in memory when the file cannot be written, else in the file")
{
    const auto bytes = small("1048576");
    bytes->resize(bytes->size() + kMiB, 0x5a); // where the log says the block is
    {
        MemorySource file{bytes};
        LogWriter log{file, {kMiB, kMiB}, {7}};
        log_bat(bytes, log, 4 * kMiB);
    }
    const auto before = *bytes;
    {
        auto image = need(open_alone(kDriver, std::make_unique<ReadOnlySource>(bytes)));
        const auto extent = need(image->map({0}, kMiB, MapDetail::fast));
        CHECK((extent.kind == Extent::Kind::data && extent.at.bytes == 4 * kMiB));
        std::vector<u8> there(100);
        REQUIRE(image->file().read(extent.at, there));
        CHECK(there == std::vector<u8>(100, 0x5a));
    }
    CHECK(checked(bytes) == "0");
    CHECK(*bytes == before);
    {
        auto image =
            need(open_alone(kDriver, std::make_unique<MemorySource>(bytes), OpenFor::check));
        const auto report = need(image->check(Repair::all, [](const std::string&) {}));
        CHECK(report.corruptions_fixed == 1);
    }
    CHECK(base::load_le<u64>(*bytes, kBatAt) == (4 * kMiB | 6));
    CHECK(img::test::read_all(*open_disk_in(bytes)) == std::vector<u8>(kMiB, 0x5a));
}

TEST_CASE("vhdx: without its newer header an image is what the older one says")
{
    const auto bytes = small("1048576");
    bytes->resize(bytes->size() + kMiB, 0x5a);
    MemorySource file{bytes};
    LogWriter log{file, {kMiB, kMiB}, {7}};
    log_bat(bytes, log, 4 * kMiB); // both headers say that there is a log
    const auto at = [&](std::size_t slot) {
        return std::span{*bytes}.subspan(kHeaderAt[slot]).first<kHeaderSize>();
    };
    Header newer = need(parse_header(at(1)));
    newer.log_guid = kNoGuid; // and this one no longer
    ++newer.sequence;
    std::ranges::copy(encode_header(newer), at(1).begin());
    const auto first_entry = [&] {
        auto image = need(open_alone(kDriver, std::make_unique<ReadOnlySource>(bytes)));
        return need(image->map({0}, kMiB, MapDetail::fast)).kind;
    };
    CHECK(first_entry() == Extent::Kind::zero);
    (*bytes)[kHeaderAt[1] + 100] ^= 1;
    CHECK(first_entry() == Extent::Kind::data);
}

TEST_CASE("vhdx: a newer header that is valid counts, whatever it says")
{
    const auto bytes = small("1048576");
    const auto at = std::span{*bytes}.subspan(kHeaderAt[1]).first<kHeaderSize>();
    const auto resign = [&](std::size_t field, base::u16 value) {
        base::store_le<base::u16>(at, field, value);
        base::store_le<u32>(at, 4, 0);
        base::store_le<u32>(at, 4, crc32c(at));
    };
    set_header(bytes, [](Header& header) { header.log_guid = {7}; });
    resign(64, 3); // the log's version
    CHECK(refusal(bytes) == "VHDX log of an unknown version");
    resign(64, 0);
    resign(66, 2);
    CHECK(refusal(bytes) == "VHDX image of version 2");
    set_header(bytes, [](Header& header) { header.log_guid = kNoGuid; });
    resign(64, 3); // no log, no matter
    CHECK(refusal(bytes) == "accepted");
}

TEST_CASE("vhdx: after each change either header will do")
{
    const auto bytes = small("3145728");
    const auto same = [&] {
        const auto header = [&](std::size_t slot) {
            return need(
                parse_header(std::span{*bytes}.subspan(kHeaderAt[slot]).first<kHeaderSize>()));
        };
        return header(0).log_guid == header(1).log_guid &&
               header(0).data_write_guid == header(1).data_write_guid;
    };
    {
        auto disk = open_disk_in(bytes);
        REQUIRE(disk->write(kMiB, std::vector<u8>(100, 0x33)));
        REQUIRE(disk->flush());
        CHECK(same()); // with a log
    }
    CHECK(same()); // without
}

TEST_CASE("vhdx: what changes in the table is in the log first")
{
    const auto bytes = small("3145728");
    const std::vector<u8> data(100, 0x33);
    auto disk = open_disk_in(bytes);
    REQUIRE(disk->write(kMiB, data));
    REQUIRE(disk->flush());

    // Power is lost here, and the table's sector had not been written yet.
    const auto left = std::make_shared<std::vector<u8>>(*bytes);
    std::fill_n(left->begin() + kBatAt, kLogSector, u8{0});
    auto again = open_disk_in(left);
    std::vector<u8> there(100);
    REQUIRE(again->read(kMiB, there));
    CHECK(there == data);
}

TEST_CASE("vhdx: only whole entries of the log count, the newest of them last")
{
    const auto bytes = small("1048576");
    bytes->resize(bytes->size() + 2 * kMiB);
    MemorySource file{bytes};
    LogWriter log{file, {kMiB, kMiB}, {7}};
    log_bat(bytes, log, 4 * kMiB);
    log_bat(bytes, log, 5 * kMiB);
    const auto active = [&] {
        Header header{.log_guid = {7}, .log_length = kMiB, .log_offset = kMiB};
        return need(find_active(file, header));
    };
    REQUIRE(active().size() == 1);
    CHECK(active().front().sequence == 2);

    (*bytes)[kMiB + 2 * kLogSector + kLogSector + 100] ^= 1; // in the second one's data
    REQUIRE(active().size() == 1);
    CHECK(active().front().sequence == 1);

    (*bytes)[kMiB + 8] ^= 1; // in the first one's head
    CHECK(active().empty());
}

TEST_CASE("vhdx: the log is a ring, whose entries may go over its end")
{
    const auto bytes = small("1048576");
    MemorySource file{bytes};
    LogWriter log{file, {kMiB, kMiB}, {7}};
    const std::vector<u8> sector(kLogSector, 0x11);
    const Header header{.log_guid = {7}, .log_length = kMiB, .log_offset = kMiB};
    for (u64 n = 1; n <= 200; ++n) {
        REQUIRE(log.write({{kBatAt, sector}, {kBatAt + kLogSector, sector}}));
        const auto active = need(find_active(file, header));
        REQUIRE(active.size() == 1);
        REQUIRE(active.front().sequence == n);
    }
    CHECK(log.capacity() == 126);
}

TEST_CASE("vhdx: a log that writes where it must not is refused")
{
    const auto outcome_of = [](u64 target) {
        const auto bytes = small("1048576");
        MemorySource file{bytes};
        LogWriter log{file, {kMiB, kMiB}, {7}};
        REQUIRE(log.write({{target, std::vector<u8>(kLogSector)}}));
        set_header(bytes, [&](Header& header) { header.log_guid = log.id(); });
        auto image = open_alone(kDriver, std::make_unique<MemorySource>(bytes));
        return image ? "accepted" : image.error().message;
    };
    CHECK(outcome_of(kBatAt) == "accepted");
    CHECK(outcome_of(kHeaderAt[0]) == "VHDX log entry writes 4096 bytes at 0x10000");
    CHECK(outcome_of(kMiB) == "VHDX log entry writes 4096 bytes at 0x100000");
    CHECK(outcome_of(kBatAt + 512) == "VHDX log entry writes 4096 bytes at 0x200200");
    CHECK(outcome_of(u64{1} << 40) == "VHDX log entry writes 4096 bytes at 0x10000000000");
}

TEST_CASE("vhdx: either header will do, and either region table")
{
    const auto bytes = small("1048576");
    (*bytes)[kHeaderAt[1] + 100] ^= 1;
    (*bytes)[kRegionsAt[0] + 100] ^= 1;
    CHECK(refusal(bytes) == "accepted");
    (*bytes)[kHeaderAt[0] + 100] ^= 1;
    CHECK(refusal(bytes) == "No valid VHDX header found");
    (*bytes)[kHeaderAt[0] + 100] ^= 1;
    (*bytes)[kRegionsAt[1] + 100] ^= 1;
    CHECK(refusal(bytes) == "No valid VHDX region table found");
}

TEST_CASE("vhdx: images that lie are refused")
{
    const auto bytes = small("3145728");
    CHECK(refusal(std::make_shared<std::vector<u8>>()) == "not a VHDX image");
    const auto entry = [&](u64 value) { base::store_le<u64>(*bytes, kBatAt + 8, value); };

    entry(0x7fffff00006);
    const std::string far = "VHDX BAT entry 1 start offset 8796091973632 points after end of file "
                            "(4194304). Image has probably been truncated.";
    CHECK(refusal(bytes) == far);
    CHECK(checked(bytes) == far + "\n1");
    entry(0x400006);
    CHECK(refusal(bytes) == "VHDX BAT entry 1 end offset 5242879 points after end of file "
                            "(4194304). Image has probably been truncated.");
    entry(0x300006);
    CHECK(refusal(bytes) == "VHDX region 3145728-4194304 overlaps with region 3145728-4194304");
    entry(7);
    CHECK(refusal(bytes) == "accepted");
    CHECK(checked(bytes) == "VHDX block 1 is in state 7\n1");
    entry(0);

    base::store_le<u64>(*bytes, kMetadataAt + 65536 + 8, u64{1} << 45); // the disk's size
    CHECK(refusal(bytes) == "VHDX BAT of 1048576 bytes for 33554432 blocks");
    set_header(bytes, [](Header& header) { header.log_offset = kBatAt; });
    CHECK(refusal(bytes) == "VHDX region 2097152-3145728 overlaps with region 2097152-3145728");
}

TEST_CASE("vhdx: check finds blocks that share bytes")
{
    const auto bytes = small("2097152");
    REQUIRE(open_disk_in(bytes)->write(0, std::vector<u8>(2097152, 1)));
    CHECK(checked(bytes) == "0");
    std::copy_n(bytes->begin() + kBatAt, 8, bytes->begin() + kBatAt + 8);
    CHECK(checked(bytes) == "VHDX block 1 lies on another block\n1");
}

TEST_CASE("vhdx: a new image is what was asked for")
{
    const auto cluster_of = [](const CreateSettings& settings) {
        return need(open_alone(kDriver, std::make_unique<MemorySource>(created(settings))))
            ->info()
            .cluster_size;
    };
    CHECK(cluster_of({{"size", "1G"}}) == 8 * kMiB);
    CHECK(cluster_of({{"size", "1025M"}}) == 16 * kMiB);
    CHECK(cluster_of({{"size", "101G"}}) == 32 * kMiB);
    CHECK(cluster_of({{"size", "33T"}}) == 64 * kMiB);
    CHECK(cluster_of({{"size", "1G"}, {"block_size", "1000"}}) == kMiB);
    CHECK(cluster_of({{"size", "1G"}, {"block_size", "512M"}}) == 256 * kMiB);
    CHECK(small("1M")->size() == 4 * kMiB);
    CHECK(*small("3M") == *small("3M")); // the same identity
}

TEST_CASE("vhdx crash: killed at any write, an image is sound and has what was flushed")
{
    const auto recording = img::test::record_writes(kDriver, *small("6291456"), 100'000, 1);

    CHECK(recording.log.size() > 80);
    CHECK(img::test::check_prefixes(recording, 2) > 40);
}

TEST_CASE("vhdx crash: with writes between flushes lost at random, the same holds")
{
    const auto recording = img::test::record_writes(kDriver, *small("6291456"), 100'000, 2);

    CHECK(img::test::check_losses(recording, 3) > 40);
}
