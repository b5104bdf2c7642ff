#include "imgtool/formats/qcow2/header_update.hpp"

#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash_log.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::qcow2;
using img::test::need;

namespace {

constexpr u32 kForeign = 0x1234'5678; // an extension that we do not know

struct Words {
    std::string name;
    std::string format;
    std::vector<u8> foreign = {}; // no extension where empty
    bool operator==(const Words&) const = default;
};

void say(Header& header, const Words& words)
{
    header.backing_name = words.name;
    header.backing_format = words.format;
    std::erase_if(header.extensions, [](const Extension& e) { return e.type == kForeign; });
    if (!words.foreign.empty()) {
        header.extensions.push_back({kForeign, words.foreign});
    }
}

Words words_in(test::MemoryFiles files)
{
    const Header header = need(read_header(*files.open(test::kImageFile)));
    Words words{.name = header.backing_name, .format = header.backing_format};
    for (const Extension& e : header.extensions) {
        words.foreign = e.type == kForeign ? e.data : words.foreign;
    }
    return words;
}

/// Changes a header that says `before`, and looks at it after each possible cut.
void check_cuts(u64 cluster_size, const Words& before, const Words& after)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource made{bytes};
    REQUIRE(qcow2::create(made, {.size = 1 << 20, .cluster_size = cluster_size}));
    Header old = need(read_header(made));
    say(old, before);
    const std::vector<u8> encoded = need(encode_header(old));
    std::copy(encoded.begin(), encoded.end(), bytes->begin());

    test::FileLog log{.start = test::MemoryFiles{*bytes}};
    test::RecordedFiles files{log};
    Header next = old;
    say(next, after);
    REQUIRE(replace_header(*files.open(test::kImageFile), old, next));

    bool changed = false; // there is no way back
    test::each_prefix(log, 1, [&](test::MemoryFiles left, test::Cut) {
        const Words now = words_in(std::move(left));
        CHECK((now == after || (!changed && now == before)));
        changed = changed || now == after;
    });
    CHECK(changed);
    for (u32 seed = 0; seed < 20; ++seed) {
        test::each_loss(log, seed, [&](test::MemoryFiles left, test::Cut) {
            const Words now = words_in(std::move(left));
            CHECK((now == before || now == after));
        });
    }
    CHECK(words_in(files.files()) == after);
    const std::vector<u8> plain = need(encode_header(next));
    const std::vector<u8>& file = files.files().bytes(test::kImageFile);
    CHECK(std::equal(plain.begin(), plain.end(), file.begin()));
}

} // namespace

TEST_CASE("qcow2 header: torn between sectors, it is the old or the new one")
{
    const std::vector<u8> data(64, 0xd7);

    check_cuts(65536, {"", ""}, {"base.qcow2", "qcow2"});
    check_cuts(65536, {"base.qcow2", "qcow2"}, {"", ""});
    check_cuts(65536, {"base.qcow2", "qcow2"}, {"base.qcow2", "qcow2", data});
    check_cuts(4096, {"base.qcow2", "qcow2", data}, {"other", "raw", data});
}

TEST_CASE("qcow2 header: what is longer than a sector is put elsewhere in between")
{
    const std::string name(900, 'n');
    const std::vector<u8> data(1500, 0xd7);

    check_cuts(65536, {"", ""}, {name, "qcow2", data});
    check_cuts(65536, {name, "qcow2", data}, {name + "x", "raw", data});
    check_cuts(65536, {name, "qcow2", data}, {"short", "raw"});
}

TEST_CASE("qcow2 header: one that stands in between is read by its extensions, too")
{
    Header header;
    header.size = 1 << 20;
    header.l1_size = 1;
    say(header, {.name = std::string(600, 'n'), .format = "raw", .foreign = {1, 2, 3}});
    const InterimHeader interim = need(encode_interim_header(header, 5000));
    std::vector<u8> start(65536);
    std::copy(interim.start.begin(), interim.start.end(), start.begin());
    std::copy(interim.rest.begin(), interim.rest.end(),
              start.begin() + static_cast<std::ptrdiff_t>(interim.rest_at));

    const Header read = need(parse_header(start));

    CHECK(interim.start.size() == 120); // the fields and the gap's head
    CHECK(interim.rest_at == 5120);
    CHECK(read.backing_name == std::string(600, 'n'));
    CHECK(read.backing_format == "raw");
    REQUIRE(read.extensions.size() == 1);
    CHECK(read.extensions[0].data == std::vector<u8>{1, 2, 3});
    CHECK(read.end == 5120 + interim.rest.size());
}
