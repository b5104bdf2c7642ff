#include "imgtool/nbd/handshake.hpp"

#include "imgtool/nbd/script_stream.hpp"
#include "imgtool/nbd/test_disk.hpp"

#include <catch2/catch.hpp>

using namespace img;
using namespace img::nbd;

namespace {

// What is known beforehand, written out: NBDMAGIC, IHAVEOPT, NBD_FLAG_FIXED_NEWSTYLE | NO_ZEROES.
const std::vector<u8> kGreeting{'N', 'B', 'D', 'M', 'A', 'G', 'I', 'C', 'I',
                                'H', 'A', 'V', 'E', 'O', 'P', 'T', 0,   3};

// Option reply types.
constexpr u32 kAck = 1;
constexpr u32 kServer = 2;
constexpr u32 kInfo = 3;
constexpr u32 kMeta = 4;
constexpr u32 kUnsupported = 0x80000001;
constexpr u32 kPolicy = 0x80000002;
constexpr u32 kInvalid = 0x80000003;
constexpr u32 kTlsRequired = 0x80000005;
constexpr u32 kUnknown = 0x80000006;
constexpr u32 kTooBig = 0x80000009;

struct Reply {
    u32 option;
    u32 type;
    std::vector<u8> data;
};

struct Outcome {
    std::optional<Session> session;
    std::vector<Reply> replies = {};
    std::vector<u8> rest = {}; // that is no reply to an option
};

struct Setup {
    bool read_only = false;
    bool can_secure = false;
    bool tls_required = false;
};

Outcome play(const Script& script, Setup setup = {})
{
    TestDisk disk{1 << 20, setup.read_only};
    const Export offered{*disk.disk, {.name = "disk", .description = "a test"}};
    ScriptStream stream{script.bytes(), setup.can_secure};
    Outcome outcome{.session = shake_hands(stream, offered, setup.tls_required)};
    std::span<const u8> answer{stream.answer()};
    REQUIRE(answer.size() >= kGreeting.size());
    CHECK(std::ranges::equal(answer.first(kGreeting.size()), kGreeting));
    answer = answer.subspan(kGreeting.size());
    while (answer.size() >= 20 && base::load_be<u64>(answer, 0) == 0x3e889045565a9) {
        const u32 length = base::load_be<u32>(answer, 16);
        REQUIRE(answer.size() - 20 >= length);
        const auto data = answer.subspan(20, length);
        outcome.replies.push_back({base::load_be<u32>(answer, 8),
                                   base::load_be<u32>(answer, 12),
                                   {data.begin(), data.end()}});
        answer = answer.subspan(20 + length);
    }
    outcome.rest.assign(answer.begin(), answer.end());
    return outcome;
}

/// The types of the replies, in order.
std::vector<u32> types(const Outcome& outcome)
{
    std::vector<u32> found;
    for (const Reply& reply : outcome.replies) {
        found.push_back(reply.type);
    }
    return found;
}

/// The client's flags: fixed newstyle, no zeroes.
Script hello(u32 flags = 3)
{
    Script script;
    script.number<u32>(flags);
    return script;
}

Script name_of(std::string_view name)
{
    Script script;
    script.number<u32>(static_cast<u32>(name.size())).text(name);
    return script;
}

Script go(std::string_view name)
{
    return name_of(name).number<u16>(0);
}

Script contexts(std::string_view name, std::vector<std::string_view> queries)
{
    Script script = name_of(name);
    script.number<u32>(static_cast<u32>(queries.size()));
    for (const auto query : queries) {
        script.number<u32>(static_cast<u32>(query.size())).text(query);
    }
    return script;
}

std::vector<u8> bytes(std::string_view text)
{
    return {text.begin(), text.end()};
}

std::vector<u8> joined(std::vector<u8> a, std::string_view b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

} // namespace

TEST_CASE("nbd handshake: NBD_OPT_EXPORT_NAME answers with size, flags, and zeroes if wanted")
{
    // HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, CAN_MULTI_CONN, SEND_CACHE
    const std::vector<u8> expected{0, 0, 0, 0, 0, 0x10, 0, 0, 0x05, 0x6d};
    const auto short_answer = play(hello(3).option(1, bytes("disk")));
    CHECK(short_answer.session.has_value());
    CHECK(short_answer.rest == expected);

    std::vector<u8> long_one = expected;
    long_one.resize(134);
    CHECK(play(hello(1).option(1, bytes("disk"))).rest == long_one);
    CHECK(play(hello(0).option(1, bytes("disk"))).rest == long_one); // not fixed newstyle

    // READ_ONLY, but neither trim nor write zeroes
    const auto read_only = play(hello(3).option(1, bytes("disk")), {.read_only = true});
    CHECK(read_only.rest == std::vector<u8>{0, 0, 0, 0, 0, 0x10, 0, 0, 0x05, 0x0f});
}

TEST_CASE("nbd handshake: what cannot be answered closes the connection")
{
    const auto closed = [](const Script& script, Setup setup = {}) {
        const auto outcome = play(script, setup);
        return !outcome.session && outcome.replies.empty() && outcome.rest.empty();
    };
    CHECK(closed(Script{}));
    CHECK(closed(hello(4).option(1, bytes("disk"))));           // unknown client flag
    CHECK(closed(hello().option(1, bytes("other"))));           // no such export
    CHECK(closed(hello().option(1)));                           // nor is there a default one
    CHECK(closed(hello(0).option(3)));                          // an option of a simple client
    CHECK(closed(hello().number<u64>(0x1234).option(3)));       // not the magic number
    CHECK(closed(hello().number<u64>(kOptionMagic)));           // cut off
    CHECK(closed(hello().option(1, std::vector<u8>(70'000))));  // nobody's name
    CHECK(closed(hello().option(3, std::vector<u8>(1 << 21)))); // too long to be skipped
    CHECK(closed(hello().option(1, bytes("disk")), {.can_secure = true, .tls_required = true}));
}

TEST_CASE("nbd handshake: unknown and overlong options are refused, and others follow")
{
    const auto outcome = play(hello()
                                  .option(4)
                                  .option(99, bytes("what?"))
                                  .option(3, bytes("data"))
                                  .option(8, bytes("data"))
                                  .option(10, std::vector<u8>(70'000))
                                  .option(2));
    CHECK(types(outcome) ==
          std::vector<u32>{kUnsupported, kUnsupported, kInvalid, kInvalid, kTooBig, kAck});
    CHECK(outcome.replies[1].option == 99);
    CHECK_FALSE(outcome.session);
}

TEST_CASE("nbd handshake: a client cannot go on for ever")
{
    Script script = hello();
    for (int i = 0; i < 1000; ++i) {
        script.option(3);
    }
    CHECK(play(script).replies.size() == 512); // two for each of 256 options
}

TEST_CASE("nbd handshake: NBD_OPT_ABORT is acknowledged, and nothing follows")
{
    const auto outcome = play(hello().option(2).option(3));
    CHECK(types(outcome) == std::vector<u32>{kAck});
    CHECK_FALSE(outcome.session);
}

TEST_CASE("nbd handshake: NBD_OPT_LIST names the export and describes it")
{
    const auto outcome = play(hello().option(3));
    REQUIRE(types(outcome) == std::vector<u32>{kServer, kAck});
    CHECK(outcome.replies[0].data == joined({0, 0, 0, 4}, "diska test"));
}

TEST_CASE("nbd handshake: NBD_OPT_INFO tells what is asked for, NBD_OPT_GO also starts")
{
    Script wanted = name_of("disk");
    wanted.number<u16>(4).number<u16>(1).number<u16>(2).number<u16>(3).number<u16>(77);
    const auto outcome = play(hello().option(6, wanted).option(7, go("disk")));
    REQUIRE(types(outcome) == std::vector<u32>{kInfo, kInfo, kInfo, kInfo, kAck, kInfo, kAck});
    CHECK(outcome.replies[0].data == std::vector<u8>{0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0x05, 0x6d});
    CHECK(outcome.replies[1].data == joined({0, 1}, "disk"));
    CHECK(outcome.replies[2].data == joined({0, 2}, "a test"));
    CHECK(outcome.replies[3].data == std::vector<u8>{0, 3, 0, 0, 0, 1, 0, 1, 0, 0, 2, 0, 0, 0});
    CHECK(outcome.session.has_value());
    CHECK_FALSE(play(hello().option(6, wanted)).session);
}

TEST_CASE("nbd handshake: NBD_OPT_GO refuses other names and malformed data")
{
    Script cut = name_of("disk");
    cut.number<u16>(2).number<u16>(1);
    Script longer = go("disk");
    longer.number<u8>(0);
    Script long_name;
    long_name.number<u32>(5000).text(std::string(5000, 'x')).number<u16>(0);
    const auto outcome = play(hello()
                                  .option(7, go("other"))
                                  .option(7, go(""))
                                  .option(7, cut)
                                  .option(7, longer)
                                  .option(7, Script{}.number<u32>(0xffffffff))
                                  .option(7, long_name)
                                  .option(7));
    CHECK(types(outcome) ==
          std::vector<u32>{kUnknown, kUnknown, kInvalid, kInvalid, kInvalid, kInvalid, kInvalid});
    CHECK_FALSE(outcome.session);
}

TEST_CASE("nbd handshake: structured replies allow the flag NBD_FLAG_SEND_DF")
{
    const auto outcome = play(hello().option(8).option(7, go("disk")));
    REQUIRE(types(outcome) == std::vector<u32>{kAck, kInfo, kAck});
    CHECK(outcome.replies[1].data[11] == 0xed);
    REQUIRE(outcome.session);
    CHECK(outcome.session->structured);
    CHECK_FALSE(outcome.session->allocation);
}

TEST_CASE("nbd handshake: metadata contexts are listed and selected by query")
{
    const auto refused = play(hello().option(9, contexts("disk", {})).option(10, contexts("", {})));
    CHECK(types(refused) == std::vector<u32>{kInvalid, kInvalid}); // no structured replies

    const auto listed = play(hello()
                                 .option(8)
                                 .option(9, contexts("disk", {}))
                                 .option(9, contexts("disk", {"base:"}))
                                 .option(9, contexts("disk", {"qemu:", "base:nothing"}))
                                 .option(9, contexts("other", {}))
                                 .option(9, name_of("disk"))
                                 .option(9, name_of("disk").number<u32>(1).number<u32>(9)));
    CHECK(types(listed) ==
          std::vector<u32>{kAck, kMeta, kAck, kMeta, kAck, kAck, kUnknown, kInvalid, kInvalid});
    CHECK(listed.replies[1].data == joined({0, 0, 0, 0}, "base:allocation"));

    const auto selected = play(hello()
                                   .option(8)
                                   .option(10, contexts("disk", {"x-y:z", "base:allocation"}))
                                   .option(7, go("disk")));
    CHECK(types(selected) == std::vector<u32>{kAck, kMeta, kAck, kInfo, kAck});
    CHECK(selected.replies[1].data == joined({0, 0, 0, 1}, "base:allocation"));
    REQUIRE(selected.session);
    CHECK(selected.session->allocation);
}

TEST_CASE("nbd handshake: the last selection of contexts counts, also when it fails")
{
    for (const Script& last : {contexts("disk", {}), contexts("disk", {"base:"}),
                               contexts("other", {"base:allocation"}), Script{}}) {
        const auto outcome = play(hello()
                                      .option(8)
                                      .option(10, contexts("disk", {"base:allocation"}))
                                      .option(10, last)
                                      .option(7, go("disk")));
        REQUIRE(outcome.session);
        CHECK_FALSE(outcome.session->allocation);
    }
}

TEST_CASE("nbd handshake: NBD_OPT_STARTTLS without certificates is against the server's policy")
{
    const auto outcome = play(hello().option(5).option(7, go("disk")));
    CHECK(types(outcome) == std::vector<u32>{kPolicy, kInfo, kAck});
    CHECK(outcome.session.has_value());
}

TEST_CASE("nbd handshake: NBD_OPT_STARTTLS works once, and forgets what came before")
{
    const auto outcome = play(hello()
                                  .option(8)
                                  .option(10, contexts("disk", {"base:allocation"}))
                                  .option(5, bytes("data"))
                                  .option(5)
                                  .option(5)
                                  .option(7, go("disk")),
                              {.can_secure = true});
    CHECK(types(outcome) ==
          std::vector<u32>{kAck, kMeta, kAck, kInvalid, kAck, kInvalid, kInfo, kAck});
    REQUIRE(outcome.session);
    CHECK_FALSE(outcome.session->structured);
    CHECK_FALSE(outcome.session->allocation);
}

TEST_CASE("nbd handshake: when TLS is required nothing is told before it")
{
    const auto outcome = play(hello()
                                  .option(3)
                                  .option(6, go("disk"))
                                  .option(7, go("disk"))
                                  .option(8)
                                  .option(9, contexts("disk", {}))
                                  .option(99)
                                  .option(5)
                                  .option(99)
                                  .option(7, go("disk")),
                              {.can_secure = true, .tls_required = true});
    CHECK(types(outcome) == std::vector<u32>{kTlsRequired, kTlsRequired, kTlsRequired, kTlsRequired,
                                             kTlsRequired, kTlsRequired, kAck, kUnsupported, kInfo,
                                             kAck});
    CHECK(outcome.session.has_value());
    CHECK(types(play(hello().option(2), {.can_secure = true, .tls_required = true})) ==
          std::vector<u32>{kAck});
}
