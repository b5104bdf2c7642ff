#include "zoo/fetch/fetcher.hpp"

#include "zoo/fetch/chunk_list.hpp"
#include "zoo/fetch/chunk_url.hpp"
#include "zoo/testing/http_server.hpp"
#include "zoo/testing/temporary.hpp"

#include <catch2/catch.hpp>
#include <zlib.h>

#include <csignal>
#include <thread>

namespace {

using namespace zoo;
using zoo::testing::HttpServer;
using zoo::testing::noise;
using zoo::testing::read_whole;
using zoo::testing::TemporaryFolder;
using zoo::testing::write_file;

/// A server over a folder with one file, and a store to fetch it into.
struct Bench {
    TemporaryFolder folder;
    std::string content = noise(300'000);
    std::string digest = sha256_of(content);
    Store store = Store::open(folder / "data/store").value();
    std::unique_ptr<Progress> progress = make_silent_progress();
    FetchOptions options;
    HttpServer server{served()};

    Bench() { options.http.first_pause = std::chrono::milliseconds{1}; }

    std::filesystem::path served()
    {
        write_file(folder / "www/disk.img", content);
        return folder / "www";
    }

    Media media(std::vector<std::string> urls) const
    {
        Media media;
        media.name = "disk";
        media.urls = std::move(urls);
        media.size = content.size();
        media.sha256 = digest;
        return media;
    }

    base::Result<FetchedMedia> fetch(const Media& media)
    {
        Recipe recipe;
        recipe.id = "tiny";
        return Fetcher{store, folder / "data", options, *progress}.fetch_media(recipe, media);
    }

    std::string error(const Media& media)
    {
        auto fetched = fetch(media);
        return fetched ? "no error" : fetched.error().message;
    }

    std::string requests() const { return read_whole(folder / "www/requests.log"); }
};

std::string zlib_packed(const std::string& plain)
{
    std::string packed(compressBound(plain.size()), '\0');
    uLongf size = packed.size();
    compress(reinterpret_cast<Bytef*>(packed.data()), &size,
             reinterpret_cast<const Bytef*>(plain.data()), plain.size());
    packed.resize(size);
    return packed;
}

using Catch::Contains;
using Catch::Equals;

} // namespace

TEST_CASE("fetch: over http into the store, once", "[zoo]")
{
    Bench bench;
    const Media media = bench.media({bench.server.url("ok", "disk.img")});

    REQUIRE(bench.error(media) == "no error");
    REQUIRE(bench.error(media) == "no error");

    CHECK(read_whole(bench.store.path_of(bench.digest)) == bench.content);
    CHECK(bench.requests() == "/ok/disk.img - -\n");
}

TEST_CASE("fetch: a file of this machine", "[zoo]")
{
    Bench bench;
    bench.options.network = Network::offline;

    CHECK(bench.error(bench.media({"file://" + (bench.folder / "www/disk.img").string()})) ==
          "no error");
}

TEST_CASE("fetch: the next mirror is taken when one fails, whatever the way", "[zoo]")
{
    Bench bench;

    CHECK(bench.error(bench.media(
              {bench.server.url("ok", "nothing.img"), bench.server.url("html", "disk.img"),
               bench.server.url("short", "disk.img"), bench.server.url("to-file", "disk.img"),
               bench.server.url("ok", "disk.img")})) == "no error");
}

TEST_CASE("fetch: a web page instead of the file is refused by its type", "[zoo]")
{
    Bench bench;
    CHECK_THAT(bench.error(bench.media({bench.server.url("html", "disk.img")})),
               Contains("the server sent a web page (text/html) instead of the file"));
    CHECK_FALSE(bench.store.has(bench.digest));
}

TEST_CASE("fetch: a wrong length is refused before the first byte", "[zoo]")
{
    Bench bench;
    write_file(bench.folder / "www/other.img", "too short");
    CHECK_THAT(bench.error(bench.media({bench.server.url("ok", "other.img")})),
               Contains("wrong size: 9 bytes instead of 300000"));
}

TEST_CASE("fetch: more bytes than there should be are refused", "[zoo]")
{
    Bench bench;
    CHECK_THAT(bench.error(bench.media({bench.server.url("longer", "disk.img")})),
               Contains("wrong size: more than 300000 bytes"));
}

TEST_CASE("fetch: wrong bytes of the right length are refused", "[zoo]")
{
    Bench bench;
    std::string other = bench.content;
    other[7] ^= 1;
    write_file(bench.folder / "www/other.img", other);

    CHECK_THAT(bench.error(bench.media({bench.server.url("ok", "other.img")})),
               Contains("wrong SHA-256: " + sha256_of(other) + " instead of " + bench.digest));
    CHECK(bench.store.objects().empty());
}

TEST_CASE("fetch: a server that always ends early is given up after some attempts", "[zoo]")
{
    Bench bench;
    CHECK_THAT(bench.error(bench.media({bench.server.url("short", "disk.img")})),
               Contains("/short/disk.img: "));
}

TEST_CASE("fetch: a broken transfer goes on where it broke, for the same version only", "[zoo]")
{
    Bench bench;

    REQUIRE(bench.error(bench.media({bench.server.url("once-short", "disk.img")})) == "no error");

    CHECK(bench.requests() == "/once-short/disk.img - -\n"
                              "/once-short/disk.img bytes=150000- \"v1\"\n");
}

TEST_CASE("fetch: a server without ranges starts anew", "[zoo]")
{
    Bench bench;
    write_file(bench.store.partial_path(bench.digest), bench.content.substr(0, 1000));
    CHECK(bench.error(bench.media({bench.server.url("no-range", "disk.img")})) == "no error");
}

TEST_CASE("fetch: a file that changed meanwhile is fetched anew", "[zoo]")
{
    Bench bench;
    const std::string url = bench.server.url("changed", "disk.img");
    write_file(bench.store.partial_path(bench.digest), "other bytes");
    write_file(bench.store.partial_path(bench.digest + ".from"), url + "\n\"v0\"");

    REQUIRE(bench.error(bench.media({url})) == "no error");

    CHECK(bench.requests() == "/changed/disk.img bytes=11- \"v0\"\n");
}

TEST_CASE("fetch: a rest that does not fit its beginning is fetched once more from the start",
          "[zoo]")
{
    Bench bench;
    write_file(bench.store.partial_path(bench.digest), "other bytes");

    CHECK(bench.error(bench.media({bench.server.url("ok", "disk.img")})) == "no error");

    CHECK(bench.requests() == "/ok/disk.img bytes=11- -\n/ok/disk.img - -\n");
}

TEST_CASE("fetch: a server that is busy is asked again", "[zoo]")
{
    Bench bench;
    CHECK(bench.error(bench.media({bench.server.url("flaky", "disk.img")})) == "no error");
}

TEST_CASE("fetch: a redirect never leads to a file of this machine", "[zoo]")
{
    Bench bench;
    CHECK_THAT(bench.error(bench.media({bench.server.url("to-file", "disk.img")})),
               Contains("Unsupported protocol"));
}

TEST_CASE("fetch: killed in the middle, the next one goes on", "[zoo]")
{
    Bench bench;
    bench.content = noise(4'000'000);
    bench.digest = sha256_of(bench.content);
    write_file(bench.folder / "www/big.img", bench.content);
    const Media media = bench.media({bench.server.url("slow", "big.img")});
    const pid_t child = ::fork();
    if (child == 0) {
        (void)bench.fetch(media);
        ::_exit(0);
    }
    const auto partial = bench.store.partial_path(bench.digest);
    std::error_code error;
    for (int i = 0; i < 1000 && !(std::filesystem::file_size(partial, error) > 200'000 && !error);
         ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    CHECK_FALSE(bench.store.has(bench.digest));
    const auto kept = std::filesystem::file_size(partial);
    CHECK(kept > 200'000);

    REQUIRE(bench.error(bench.media({bench.server.url("slow", "big.img")})) == "no error");

    CHECK_THAT(bench.requests(), Contains("bytes=" + std::to_string(kept) + "- \"v1\""));
}

TEST_CASE("fetch: two at once fetch one time", "[zoo]")
{
    Bench bench;
    const Media media = bench.media({bench.server.url("slow", "disk.img")});
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(bench.fetch(media) ? 0 : 1);
    }
    const std::string error = bench.error(media);
    int status = 0;
    ::waitpid(child, &status, 0);

    CHECK(error == "no error");
    CHECK(status == 0);
    CHECK(bench.requests() == "/slow/disk.img - -\n");
}

TEST_CASE("fetch: a full disk is named, and nothing half-made is visible", "[zoo]")
{
    Bench bench;
    write_file(bench.folder / ("mirror/sha256/" + bench.digest), bench.content);
    bench.options.mirror = bench.folder / "mirror";
    std::filesystem::create_symlink("/dev/full", bench.store.partial_path(bench.digest));

    CHECK_THAT(bench.error(bench.media({})), Contains("No space left on device"));
    CHECK(bench.store.objects().empty());
}

TEST_CASE("fetch: a mirror's folder has objects plain or packed", "[zoo]")
{
    Bench bench;
    const std::string digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    // The three bytes "abc" as a zstd frame with a raw block (RFC 8878 section 3.1.1).
    const std::string frame{"\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00"
                            "abc",
                            12};
    bench.options.mirror = bench.folder / "mirror";
    bench.options.network = Network::offline;
    write_file(bench.folder / ("mirror/sha256/" + digest + ".zst"), frame);
    Media media = bench.media({});
    media.sha256 = digest;
    media.size = 3;

    REQUIRE(bench.error(media) == "no error");
    CHECK(read_whole(bench.store.path_of(digest)) == "abc");
}

TEST_CASE("fetch: a mirror over http, and its wrong objects, which are passed over", "[zoo]")
{
    Bench bench;
    write_file(bench.folder / ("www/sha256/" + bench.digest), bench.content);
    bench.options.mirror = bench.server.root() + "/ok";
    REQUIRE(bench.error(bench.media({})) == "no error");

    REQUIRE(bench.store.remove(bench.digest));
    write_file(bench.folder / ("www/sha256/" + bench.digest), std::string(300'000, 'x'));
    CHECK(bench.error(bench.media({bench.server.url("ok", "disk.img")})) == "no error");
}

TEST_CASE("fetch: offline, nothing is asked of the network", "[zoo]")
{
    Bench bench;
    bench.options.network = Network::offline;

    CHECK_THAT(bench.error(bench.media({bench.server.url("ok", "disk.img")})),
               Contains("--offline: the network was not used"));
    CHECK(bench.requests().empty());
}

TEST_CASE("fetch: chunks are joined, cut, and gone on with", "[zoo]")
{
    Bench bench;
    bench.content = noise(10'000);
    bench.digest = sha256_of(bench.content);
    const std::string padded = bench.content + std::string(2288, 'p'); // to three chunks of 4096
    for (int i = 0; i < 3; ++i) {
        write_file(bench.folder / ("www/blk0" + std::to_string(i) + ".gz"),
                   zlib_packed(padded.substr(i * 4096, 4096)));
    }
    Media media = bench.media({});
    media.chunks = Chunks{bench.server.url("ok", "blk{n:02d}.gz"), 4096, "zlib"};
    // A killed attempt left one chunk and a half.
    write_file(bench.store.partial_path(bench.digest), bench.content.substr(0, 6000));

    REQUIRE(bench.error(media) == "no error");

    // Chunks are fetched side by side: the server sees them in any order.
    CHECK_THAT(bench.requests(), Equals("/ok/blk01.gz - -\n/ok/blk02.gz - -\n") ||
                                     Equals("/ok/blk02.gz - -\n/ok/blk01.gz - -\n"));
}

TEST_CASE("chunks: broken or of another size, they are refused", "[zoo]")
{
    const std::string packed = zlib_packed("12345678");
    const std::span<const base::u8> bytes{reinterpret_cast<const base::u8*>(packed.data()),
                                          packed.size()};

    CHECK(unpack_chunk("zlib", bytes, 8));
    CHECK_FALSE(unpack_chunk("zlib", bytes, 7));
    CHECK_FALSE(unpack_chunk("zlib", bytes, 9));
    CHECK_FALSE(unpack_chunk("zlib", bytes.first(bytes.size() - 3), 8));
    CHECK_FALSE(unpack_chunk("gzip", bytes, 8));
}

TEST_CASE("chunks: the number in a URL", "[zoo]")
{
    CHECK(expand_chunk_url("http://x/{n}", 12) == "http://x/12");
    CHECK(expand_chunk_url("http://x/b{n:08x}.gz", 3072) == "http://x/b00000c00.gz");
    CHECK(expand_chunk_url("http://x/{n:03d}", 7) == "http://x/007");
    CHECK_FALSE(expand_chunk_url("http://x/n", 1));
    CHECK_FALSE(expand_chunk_url("http://x/{n:0999d}", 1));
    CHECK_FALSE(expand_chunk_url("http://x/{n}{n}", 1));
}
