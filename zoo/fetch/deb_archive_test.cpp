#include "zoo/fetch/deb_archive.hpp"

#include "tests/skip.hpp"
#include "zoo/fetch/fetcher.hpp"
#include "zoo/host/process.hpp"
#include "zoo/testing/temporary.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace zoo;
using Catch::Contains;
using zoo::testing::TemporaryFolder;
using zoo::testing::write_file;

bool have_tools()
{
    auto found = run_captured({{"sh", "-c", "command -v apt-get && command -v dpkg-deb"}, {}, {}});
    if (found && found.value().exit_status == 0) {
        return true;
    }
    suite::skip("no apt here");
    return false;
}

/// A package archive on this machine, trusted or not, with a kernel and a package that depends on
/// it.
class LocalArchive {
public:
    explicit LocalArchive(const std::string& trust)
    {
        add("kernel-9", "1:2.0-1", "");
        add("kernel", "2", "Depends: kernel-9\n");
        write_file(folder_ / "repo/Packages", packages_);
        write_file(folder_ / "sources.list",
                   "deb " + trust + " file:" + (folder_ / "repo").string() + " ./\n");
        options_.extra_configuration = "Dir::Etc::sourcelist \"" +
                                       (folder_ / "sources.list").string() +
                                       "\";\nDir::Etc::sourceparts \"/dev/null\";\n";
    }

    const DebOptions& options() const { return options_; }
    std::filesystem::path state() const { return folder_ / "state"; }
    const TemporaryFolder& folder() const { return folder_; }

private:
    void add(const std::string& name, const std::string& version, const std::string& more)
    {
        const std::string control = "Package: " + name + "\nVersion: " + version +
                                    "\nArchitecture: i386\nMaintainer: x <x@example.org>\n" + more +
                                    "Description: x\n";
        const auto tree = folder_ / ("tree-" + name);
        write_file(tree / "DEBIAN/control", control);
        write_file(tree / "boot/vmlinuz-9", "kernel of " + name);
        const auto deb = folder_ / ("repo/" + name + ".deb");
        std::filesystem::create_directories(deb.parent_path());
        auto built = run_captured({{"dpkg-deb", "-b", tree.string(), deb.string()}, {}, {}});
        REQUIRE(built.value().exit_status == 0);
        packages_ += control + "Filename: ./" + name +
                     ".deb\nSize: " + std::to_string(std::filesystem::file_size(deb)) +
                     "\nSHA256: " + sha256_of_file(deb).value() + "\n\n";
    }

    TemporaryFolder folder_;
    std::string packages_;
    DebOptions options_;
};

const auto kQuiet = [](const std::string&) {};

} // namespace

TEST_CASE("deb: the URL has a package, perhaps a version, and an architecture", "[zoo]")
{
    const auto url = parse_deb_url("deb:busybox-static=1:1.35.0-4+deb12u1+b1/i386");
    REQUIRE(url);
    CHECK(url->package == "busybox-static");
    CHECK(url->version == "1:1.35.0-4+deb12u1+b1");
    CHECK(url->arch == "i386");
    CHECK(parse_deb_url("deb:memtest86+/amd64")->version.empty());
    CHECK_FALSE(parse_deb_url("deb:busybox"));
    CHECK_FALSE(parse_deb_url("deb:--option/i386"));
    CHECK_FALSE(parse_deb_url("deb:a b/i386"));
    CHECK_FALSE(parse_deb_url("deb:a/../i386"));
}

TEST_CASE("deb: a package of another architecture, by version and by dependency", "[zoo]")
{
    if (!have_tools()) {
        return;
    }
    const LocalArchive local{"[trusted=yes]"};
    DebArchive archive{local.state(), local.options()};

    auto pinned = archive.download({"kernel-9", "1:2.0-1", "i386"}, kQuiet);
    REQUIRE(pinned);
    CHECK(pinned.value().version == "1:2.0-1");
    CHECK(std::filesystem::file_size(pinned.value().path) > 0);

    auto dependency = archive.dependency({"kernel", "", "i386"}, "kernel-[0-9]*", kQuiet);
    REQUIRE(dependency);
    CHECK(dependency.value() == "kernel-9");

    auto gone = archive.download({"kernel-9", "1:1.0-1", "i386"}, kQuiet);
    REQUIRE_FALSE(gone);
    CHECK_THAT(gone.error().message, Contains("Version '1:1.0-1' for 'kernel-9"));
}

TEST_CASE("deb: an archive without a signature is refused", "[zoo]")
{
    if (!have_tools()) {
        return;
    }
    const LocalArchive local{""};
    DebArchive archive{local.state(), local.options()};

    CHECK_FALSE(archive.download({"kernel-9", "", "i386"}, kQuiet));
}

TEST_CASE("deb: when the pinned version has gone, the current one is taken and named", "[zoo]")
{
    if (!have_tools()) {
        return;
    }
    const LocalArchive local{"[trusted=yes]"};
    const auto data = local.folder() / "data";
    const Store store = Store::open(data / "store").value();
    const auto progress = make_silent_progress();
    FetchOptions options;
    options.deb = local.options();
    Recipe recipe;
    recipe.id = "tiny";
    Media media;
    media.name = "kernel";
    media.urls = {"deb:kernel-8=1/i386"};
    media.size = 1000;
    media.sha256 = std::string(64, 'a');
    media.unpack = "deb";
    media.member = "boot/vmlinuz-8";
    media.member_size = 10;
    media.member_sha256 = std::string(64, 'b');
    media.current = CurrentPackage{"kernel", "i386", "kernel-[0-9]*", "boot/vmlinuz-*", 1000};
    Fetcher fetcher{store, data, options, *progress};

    auto fetched = fetcher.fetch_media(recipe, media);

    REQUIRE(fetched);
    CHECK(fetched.value().version == "kernel-9 1:2.0-1");
    CHECK(fetched.value().sha256 == sha256_of("kernel of kernel-9"));

    options.network = Network::offline; // it is remembered
    auto again = Fetcher{store, data, options, *progress}.fetch_media(recipe, media);
    REQUIRE(again);
    CHECK(again.value().version == "kernel-9 1:2.0-1");
}
