#include "zoo/store/store.hpp"

#include "zoo/testing/temporary.hpp"

#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace {

using namespace zoo;
using zoo::testing::noise;
using zoo::testing::read_whole;
using zoo::testing::TemporaryFolder;
using zoo::testing::write_file;

// FIPS 180-2, appendix B.1.
const std::string kAbcDigest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::span<const base::u8> bytes_of(std::string_view text)
{
    return {reinterpret_cast<const base::u8*>(text.data()), text.size()};
}

Store open_store(const TemporaryFolder& folder)
{
    return Store::open(folder / "store").value();
}

base::Result<std::string> put(const Store& store, std::string_view text,
                              const Expectation& expected)
{
    PartialFile file =
        PartialFile::open(store.partial_path("incoming"), OpenPartial::fresh).value();
    REQUIRE(file.append(bytes_of(text)));
    return store.adopt(std::move(file), expected);
}

} // namespace

TEST_CASE("digest: the standard's example", "[zoo]")
{
    CHECK(sha256_of("abc") == kAbcDigest);
}

TEST_CASE("digest: upper case is made lower, other lengths and all zeros are refused", "[zoo]")
{
    CHECK(normalise_digest("ABCDEF12", 8) == "abcdef12");
    CHECK_FALSE(normalise_digest("abcdef1", 8));
    CHECK_FALSE(normalise_digest("abcdefg1", 8));
    CHECK_FALSE(normalise_digest("00000000", 8));
}

TEST_CASE("store: an object is found by its digest and is read-only", "[zoo]")
{
    const TemporaryFolder folder;
    const Store store = open_store(folder);

    auto digest = put(store, "abc", {kAbcDigest, 3});

    REQUIRE(digest);
    CHECK(digest.value() == kAbcDigest);
    CHECK(read_whole(store.path_of(kAbcDigest)) == "abc");
    CHECK(store.objects() == std::vector<std::string>{kAbcDigest});
    struct stat status = {};
    REQUIRE(::stat(store.path_of(kAbcDigest).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0444);
}

TEST_CASE("store: wrong content is refused and removed", "[zoo]")
{
    const TemporaryFolder folder;
    const Store store = open_store(folder);

    auto digest = put(store, "abd", {kAbcDigest, 3});

    REQUIRE_FALSE(digest);
    CHECK(digest.error().code == base::Errc::corrupt);
    CHECK(digest.error().message ==
          "wrong SHA-256: a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9 "
          "instead of " +
              kAbcDigest);
    CHECK(store.objects().empty());
    CHECK_FALSE(std::filesystem::exists(store.partial_path("incoming")));
}

TEST_CASE("store: a wrong size is refused by its size", "[zoo]")
{
    const TemporaryFolder folder;
    const Store store = open_store(folder);

    auto digest = put(store, "abcd", {kAbcDigest, 3});

    REQUIRE_FALSE(digest);
    CHECK(digest.error().message == "wrong size: 4 bytes instead of 3");
}

TEST_CASE("store: verify sees a changed object", "[zoo]")
{
    const TemporaryFolder folder;
    const Store store = open_store(folder);
    REQUIRE(put(store, "abc", {}));
    CHECK(store.verify(kAbcDigest));

    std::filesystem::permissions(store.path_of(kAbcDigest), std::filesystem::perms::owner_all);
    write_file(store.path_of(kAbcDigest), "abx");

    CHECK_FALSE(store.verify(kAbcDigest));
}

TEST_CASE("partial file: zeros become holes and read back as zeros", "[zoo]")
{
    const TemporaryFolder folder;
    std::string content(8 << 20, '\0');
    content[5'000'000] = 'x';
    PartialFile file = PartialFile::open(folder / "sparse", OpenPartial::fresh).value();

    REQUIRE(file.append(bytes_of(content).first(1000)));
    REQUIRE(file.append(bytes_of(content).subspan(1000)));
    const std::string digest = file.finish().value();

    CHECK(digest == sha256_of(content));
    CHECK(read_whole(folder / "sparse") == content);
    struct stat status = {};
    REQUIRE(::stat((folder / "sparse").c_str(), &status) == 0);
    CHECK(status.st_blocks * 512 < 1 << 20);
}

TEST_CASE("partial file: resumed, it hashes what was there", "[zoo]")
{
    const TemporaryFolder folder;
    write_file(folder / "part", "ab");

    PartialFile file = PartialFile::open(folder / "part", OpenPartial::resume).value();
    REQUIRE(file.append(bytes_of("c")));

    CHECK(file.size() == 3);
    CHECK(file.finish().value() == kAbcDigest);
}

TEST_CASE("partial file: killed while writing, what it wrote is a beginning", "[zoo]")
{
    const TemporaryFolder folder;
    const std::string content = noise(4 << 20);
    const pid_t child = ::fork();
    if (child == 0) {
        PartialFile file = PartialFile::open(folder / "part", OpenPartial::fresh).value();
        for (std::size_t at = 0; at < content.size(); at += 4096) {
            (void)file.append(bytes_of(content).subspan(at, 4096));
            if (at == 3 << 20) {
                ::kill(::getpid(), SIGKILL);
            }
        }
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));

    PartialFile file = PartialFile::open(folder / "part", OpenPartial::resume).value();
    CHECK(file.size() == (3 << 20) + 4096);
    REQUIRE(file.append(bytes_of(content).subspan(file.size())));

    CHECK(file.finish().value() == sha256_of(content));
}

TEST_CASE("store: leftovers of dead processes are removed, those in use are not", "[zoo]")
{
    const TemporaryFolder folder;
    const Store store = open_store(folder);
    const FileLock busy = store.lock("aa", [] {}).value();
    write_file(store.partial_path("aa"), "in use");
    write_file(store.partial_path("bb"), "left");
    write_file(store.partial_path("tmp-999999999-0"), "left");

    CHECK(store.remove_stale_partials() == 2);
    CHECK(std::filesystem::exists(store.partial_path("aa")));
}

TEST_CASE("store: a full disk is an error that says so", "[zoo]")
{
    const TemporaryFolder folder;
    PartialFile file = PartialFile::open("/dev/full", OpenPartial::fresh).value();

    auto written = file.append(bytes_of("abc"));

    REQUIRE_FALSE(written);
    CHECK(written.error().message == "/dev/full: No space left on device");
}
