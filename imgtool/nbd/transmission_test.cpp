#include "imgtool/nbd/transmission.hpp"

#include "imgtool/nbd/script_stream.hpp"
#include "imgtool/nbd/test_disk.hpp"

#include <catch2/catch.hpp>

using namespace img;
using namespace img::nbd;

namespace {

using base::u16;

constexpr u64 kSize = u64{1} << 20; // bytes of the disk

// Commands and flags, as the document numbers them.
constexpr u16 kRead = 0;
constexpr u16 kWrite = 1;
constexpr u16 kDisconnect = 2;
constexpr u16 kFlush = 3;
constexpr u16 kTrim = 4;
constexpr u16 kCache = 5;
constexpr u16 kWriteZeroes = 6;
constexpr u16 kBlockStatus = 7;
constexpr u16 kFua = 1;
constexpr u16 kNoHole = 2;
constexpr u16 kDontFragment = 4;
constexpr u16 kRequestOne = 8;
constexpr u16 kFastZero = 16;

constexpr u32 kPermission = 1;
constexpr u32 kIo = 5;
constexpr u32 kInvalid = 22;
constexpr u32 kFull = 28;

const Session kSimple{};
const Session kStructured{.structured = true, .allocation = true};

/// One client's requests; the bytes sent in reply.
std::vector<u8> play(TestDisk& disk, const Script& script, const Session& session = kSimple)
{
    Export offered{*disk.disk, {}};
    ScriptStream stream{script.bytes(), false};
    transmit(stream, offered, session);
    return stream.answer();
}

std::vector<u8> simple(u32 error, std::vector<u8> data = {})
{
    Script reply;
    reply.number<u32>(0x67446698).number<u32>(error).number<u64>(0x0102030405060708).data(data);
    return reply.bytes();
}

Script& add_chunk(Script& to, u16 flags, u16 type, const Script& payload)
{
    return to.number<u32>(0x668e33ef)
        .number<u16>(flags)
        .number<u16>(type)
        .number<u64>(0x0102030405060708)
        .number<u32>(static_cast<u32>(payload.bytes().size()))
        .data(payload.bytes());
}

Script data_chunk(u64 offset, std::span<const u8> data)
{
    return Script{}.number<u64>(offset).data(data);
}

Script hole_chunk(u64 offset, u32 length)
{
    return Script{}.number<u64>(offset).number<u32>(length);
}

/// The error of an answer that is one error chunk; 0 when it is something else.
u32 chunk_error(std::span<const u8> answer, u16 type = 0x8001)
{
    if (answer.size() < 26 || base::load_be<u32>(answer, 0) != 0x668e33ef ||
        base::load_be<u16>(answer, 4) != 1 || base::load_be<u16>(answer, 6) != type ||
        base::load_be<u32>(answer, 16) != answer.size() - 20) {
        return 0;
    }
    const u64 tail = type == 0x8002 ? 8 : 0;
    return base::load_be<u16>(answer, 24) == answer.size() - 26 - tail
               ? base::load_be<u32>(answer, 20)
               : 0;
}

void fill(TestDisk& disk, u64 at, u64 length, u8 value)
{
    REQUIRE(disk.disk->write(at, std::vector<u8>(length, value)));
}

std::vector<u8> fives(std::size_t n)
{
    return std::vector<u8>(n, 5);
}

} // namespace

TEST_CASE("nbd: reads without structured replies")
{
    TestDisk disk{kSize};
    fill(disk, 4096, 4096, 5);
    std::vector<u8> expected(8192);
    std::fill_n(expected.begin() + 4096, 4096, u8{5});
    CHECK(play(disk, Script{}.request(kRead, 0, 8192)) == simple(0, expected));
    CHECK(play(disk, Script{}.request(kRead, 4096, 1, kFua)) == simple(0, {5}));
    CHECK(play(disk, Script{}.request(kRead, kSize, 0)) == simple(0));
    CHECK(play(disk, Script{}.request(kRead, 0, kSize)).size() == 16 + kSize);
}

TEST_CASE("nbd: reads with structured replies tell of holes")
{
    TestDisk disk{kSize};
    fill(disk, 8192, 4096, 5);
    Script expected;
    add_chunk(expected, 0, 2, hole_chunk(100, 8092));
    add_chunk(expected, 0, 1, data_chunk(8192, fives(4096)));
    add_chunk(expected, 1, 2, hole_chunk(12288, kSize - 12288));
    CHECK(play(disk, Script{}.request(kRead, 100, kSize - 100), kStructured) == expected.bytes());

    Script short_hole; // is sent as data, with what follows it
    std::vector<u8> data(10);
    data.insert(data.end(), 20, 5);
    add_chunk(short_hole, 1, 1, data_chunk(8182, data));
    CHECK(play(disk, Script{}.request(kRead, 8182, 30), kStructured) == short_hole.bytes());

    Script nothing;
    add_chunk(nothing, 1, 0, {});
    CHECK(play(disk, Script{}.request(kRead, 0, 0), kStructured) == nothing.bytes());
}

TEST_CASE("nbd: long reads are sent in pieces of bounded size")
{
    TestDisk disk{kSize};
    fill(disk, 0, kSize, 5);
    const auto answer = play(disk, Script{}.request(kRead, 0, kSize), kStructured);
    CHECK(answer.size() == kSize + 4 * 28);
    CHECK(base::load_be<u16>(answer, 4) == 0);                        // not the last
    CHECK(base::load_be<u16>(answer, 3 * (28 + kSize / 4) + 4) == 1); // the last
}

TEST_CASE("nbd: NBD_CMD_FLAG_DF gets one chunk")
{
    TestDisk disk{kSize};
    fill(disk, 8192, 4096, 5);
    Script expected;
    std::vector<u8> data(kSize);
    std::fill_n(data.begin() + 8192, 4096, u8{5});
    add_chunk(expected, 0, 1, data_chunk(0, data));
    add_chunk(expected, 1, 0, {});
    CHECK(play(disk, Script{}.request(kRead, 0, kSize, kDontFragment), kStructured) ==
          expected.bytes());

    Script hole;
    add_chunk(hole, 1, 2, hole_chunk(0, 8192));
    CHECK(play(disk, Script{}.request(kRead, 0, 8192, kDontFragment), kStructured) == hole.bytes());
    CHECK(play(disk, Script{}.request(kRead, 0, 10, kDontFragment)) == simple(kInvalid));
}

TEST_CASE("nbd: ranges past the end, and what is longer than 32 MiB")
{
    TestDisk disk{kSize};
    for (const u16 command : {kRead, kTrim, kCache}) {
        CHECK(play(disk, Script{}.request(command, kSize, 1)) == simple(kInvalid));
        CHECK(play(disk, Script{}.request(command, ~u64{0}, 2)) == simple(kInvalid));
        CHECK(play(disk, Script{}.request(command, 1, kSize)) == simple(kInvalid));
    }
    CHECK(play(disk, Script{}.request(kWriteZeroes, kSize, 1)) == simple(kFull));
    CHECK(play(disk, Script{}.request(kWrite, kSize - 1, 2).text("ab")) == simple(kFull));
    CHECK(play(disk, Script{}.request(kRead, 0, (32 << 20) + 1)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kBlockStatus, kSize, 1), kStructured).size() > 26);
    CHECK(chunk_error(play(disk, Script{}.request(kBlockStatus, kSize, 1), kStructured)) ==
          kInvalid);
    CHECK(chunk_error(play(disk, Script{}.request(kRead, kSize, 1), kStructured)) == kInvalid);
}

TEST_CASE("nbd: writes are there, and FUA has them flushed")
{
    TestDisk disk{kSize};
    CHECK(play(disk, Script{}.request(kWrite, 10, 3).text("abc")) == simple(0));
    CHECK(disk.state->flushes == 0);
    CHECK(play(disk, Script{}.request(kWrite, 13, 1, kFua).text("d"), kStructured) == simple(0));
    CHECK(disk.state->flushes == 1);
    CHECK(play(disk, Script{}.request(kRead, 9, 6)) == simple(0, {0, 'a', 'b', 'c', 'd', 0}));
    CHECK(play(disk, Script{}.request(kFlush, 0, 0)) == simple(0));
    CHECK(disk.state->flushes == 2);
    CHECK(play(disk, Script{}.request(kWrite, 0, 0)) == simple(0));
}

TEST_CASE("nbd: the data of a refused write is not taken for requests")
{
    TestDisk disk{kSize, true};
    const auto answer =
        play(disk, Script{}.request(kWrite, 0, 300'000).data(fives(300'000)).request(kRead, 0, 1));
    auto expected = simple(kPermission);
    const auto read = simple(0, {0});
    expected.insert(expected.end(), read.begin(), read.end());
    CHECK(answer == expected);
}

TEST_CASE("nbd: a read-only export refuses all that writes")
{
    TestDisk disk{kSize, true};
    for (const u16 command : {kTrim, kWriteZeroes}) {
        CHECK(play(disk, Script{}.request(command, 0, 4096)) == simple(kPermission));
        CHECK(chunk_error(play(disk, Script{}.request(command, 0, 4096), kStructured)) ==
              kPermission);
    }
    CHECK(play(disk, Script{}.request(kFlush, 0, 0)) == simple(0));
}

TEST_CASE("nbd: a write that is too long or cut off ends the connection")
{
    TestDisk disk{kSize};
    CHECK(play(disk, Script{}.request(kWrite, 0, (32 << 20) + 1).request(kRead, 0, 1)).empty());
    CHECK(play(disk, Script{}.request(kWrite, 0, 100).text("abc")).empty());
    CHECK(disk.state->bytes[0] == 0);
}

TEST_CASE("nbd: commands that are unknown, or have flags or ranges that they cannot have")
{
    TestDisk disk{kSize};
    CHECK(play(disk, Script{}.request(8, 0, 1)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(0xffff, 0, 1)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kFlush, 0, 1)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kFlush, 1, 0)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kRead, 0, 1, kNoHole)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kRead, 0, 1, kRequestOne)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kWriteZeroes, 0, 1, kFastZero)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kTrim, 0, 1, kNoHole)) == simple(kInvalid));
    CHECK(play(disk, Script{}.request(kWrite, 0, 1, 0x8000).text("x")) == simple(kInvalid));
    CHECK(disk.state->bytes[0] == 0);
}

TEST_CASE("nbd: what is no request, and NBD_CMD_DISC, end the connection")
{
    TestDisk disk{kSize};
    CHECK(play(disk, Script{}.request(kDisconnect, 0, 0).request(kRead, 0, 1)).empty());
    CHECK(play(disk, Script{}.number<u32>(0x25609514).request(kRead, 0, 1)).empty());
    CHECK(play(disk, Script{}.number<u32>(0x25609513)).empty());
}

TEST_CASE("nbd: zeroes are holes, or take storage when NBD_CMD_FLAG_NO_HOLE says so")
{
    TestDisk disk{kSize};
    fill(disk, 0, 65536, 5);
    CHECK(play(disk, Script{}.request(kWriteZeroes, 4096, 8192)) == simple(0));
    CHECK(play(disk, Script{}.request(kWriteZeroes, 131072, 4096, kNoHole | kFua)) == simple(0));
    CHECK(disk.state->flushes == 1);
    CHECK(disk.state->bytes[4095] == 5);
    CHECK(disk.state->bytes[4096] == 0);
    CHECK(disk.state->bytes[12287] == 0);
    CHECK(disk.state->bytes[12288] == 5);
    CHECK_FALSE(disk.state->stored[1]);
    CHECK(disk.state->stored[32]);
}

TEST_CASE("nbd: trim gives up whole pages only")
{
    TestDisk disk{kSize};
    fill(disk, 0, 65536, 5);
    CHECK(play(disk, Script{}.request(kTrim, 100, 12188)) == simple(0)); // up to 12288
    CHECK(disk.state->bytes[4095] == 5);
    CHECK(disk.state->bytes[4096] == 0);
    CHECK(disk.state->bytes[12287] == 0);
    CHECK(disk.state->bytes[12288] == 5);
    CHECK(play(disk, Script{}.request(kTrim, 20000, 3000)) == simple(0)); // no whole page
    CHECK(disk.state->bytes[20480] == 5);
    CHECK_FALSE(disk.state->stored[1]);
}

TEST_CASE("nbd: block status tells of data and holes, runs of the same joined")
{
    TestDisk disk{kSize};
    fill(disk, 8192, 4096, 5);
    const auto status = [](std::vector<std::pair<u32, u32>> rows) {
        Script payload;
        payload.number<u32>(1); // the context's ID
        for (const auto& [length, flags] : rows) {
            payload.number<u32>(length).number<u32>(flags);
        }
        Script reply;
        return add_chunk(reply, 1, 5, payload).bytes();
    };
    CHECK(play(disk, Script{}.request(kBlockStatus, 0, kSize), kStructured) ==
          status({{8192, 3}, {4096, 0}, {kSize - 12288, 3}}));
    CHECK(play(disk, Script{}.request(kBlockStatus, 8000, 1000), kStructured) ==
          status({{192, 3}, {808, 0}}));
    CHECK(play(disk, Script{}.request(kBlockStatus, 8000, 1000, kRequestOne), kStructured) ==
          status({{192, 3}}));
    CHECK(chunk_error(play(disk, Script{}.request(kBlockStatus, 0, 0), kStructured)) == kInvalid);
    const Session no_context{.structured = true};
    CHECK(chunk_error(play(disk, Script{}.request(kBlockStatus, 0, 10), no_context)) == kInvalid);
    CHECK(play(disk, Script{}.request(kBlockStatus, 0, 10)) == simple(kInvalid));
}

TEST_CASE("nbd: block status of many small runs is answered in part")
{
    TestDisk disk{u64{16} << 20};
    for (u64 page = 0; page < 4096; page += 2) {
        disk.state->stored[page] = true;
    }
    const auto answer = play(disk, Script{}.request(kBlockStatus, 0, 16 << 20), kStructured);
    CHECK(answer.size() == 20 + 4 + 1024 * 8);
}

TEST_CASE("nbd: a disk that cannot be read is an error, told without the host's names")
{
    TestDisk disk{kSize};
    fill(disk, 0, kSize, 5);
    disk.state->bad_from = kSize / 2;
    CHECK(play(disk, Script{}.request(kRead, kSize / 2, 10)) == simple(kIo));
    // The first pieces were sent: all that is left is to close the connection.
    CHECK(play(disk, Script{}.request(kRead, 0, kSize).request(kRead, 0, 1)).size() ==
          16 + kSize / 2);
    CHECK(play(disk, Script{}.request(kCache, 0, kSize)) == simple(kIo));

    const auto chunks = play(disk, Script{}.request(kRead, 0, kSize), kStructured);
    const auto error = std::span{chunks}.subspan(2 * (28 + kSize / 4));
    CHECK(chunk_error(error, 0x8002) == kIo);
    CHECK(base::load_be<u64>(error, error.size() - 8) == kSize / 2);
    const std::string text{error.begin() + 26, error.end() - 8};
    CHECK(text == "the disk could not be read");

    const auto whole = play(disk, Script{}.request(kRead, 0, kSize, kDontFragment), kStructured);
    REQUIRE(whole.size() > 28 + kSize);
    CHECK(whole[28 + kSize / 2 - 1] == 5);
    CHECK(whole[28 + kSize / 2] == 0); // padding
    CHECK(chunk_error(std::span{whole}.subspan(28 + kSize), 0x8002) == kIo);
}

TEST_CASE("nbd: a full disk is ENOSPC")
{
    TestDisk disk{kSize};
    disk.state->full_from = 0;
    CHECK(play(disk, Script{}.request(kWrite, 0, 1).text("x")) == simple(kFull));
    CHECK(chunk_error(play(disk, Script{}.request(kWriteZeroes, 0, 9, kNoHole), kStructured)) ==
          kFull);
}

TEST_CASE("nbd: errors of the disk are logged with the host's names")
{
    TestDisk disk{kSize};
    disk.state->full_from = 0;
    std::vector<std::string> told;
    Export offered{*disk.disk,
                   {.log = [&](const std::string& message) { told.push_back(message); }}};
    const auto script = Script{}.request(kWrite, 0, 1).text("x");
    ScriptStream stream{script.bytes(), false};
    transmit(stream, offered, kSimple);
    CHECK(told == std::vector<std::string>{"/secret/path: No space left on device"});
}
