#include "zoo/unpack/unpack.hpp"

#include "zoo/testing/temporary.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <catch2/catch.hpp>

namespace {

using namespace zoo;
using zoo::testing::noise;
using zoo::testing::TemporaryFolder;
using zoo::testing::write_file;

struct Entry {
    std::string name;
    std::string content;
    unsigned type = AE_IFREG;
};

using Setup = int (*)(archive*);

/// Writes an archive of the form that the functions choose.
void make_archive(const std::filesystem::path& path, Setup format, Setup filter,
                  const std::vector<Entry>& entries)
{
    archive* a = archive_write_new();
    format(a);
    filter(a);
    REQUIRE(archive_write_open_filename(a, path.c_str()) == ARCHIVE_OK);
    for (const Entry& entry : entries) {
        archive_entry* header = archive_entry_new();
        archive_entry_set_pathname(header, entry.name.c_str());
        archive_entry_set_filetype(header, entry.type);
        archive_entry_set_perm(header, 0644);
        archive_entry_set_size(header, static_cast<la_int64_t>(entry.content.size()));
        if (entry.type == AE_IFLNK) {
            archive_entry_set_symlink(header, "/etc/passwd");
            archive_entry_set_size(header, 0);
        }
        REQUIRE(archive_write_header(a, header) == ARCHIVE_OK);
        if (entry.type == AE_IFREG) {
            archive_write_data(a, entry.content.data(), entry.content.size());
        }
        archive_entry_free(header);
    }
    REQUIRE(archive_write_close(a) == ARCHIVE_OK);
    archive_write_free(a);
}

struct Unpacked {
    base::Status status;
    std::string content;
};

Unpacked run(const std::filesystem::path& path, std::string_view kind, std::string_view member,
             base::u64 max_size)
{
    Unpacked unpacked{base::ok(), {}};
    unpacked.status = unpack({path, kind, member, max_size}, [&](std::span<const base::u8> bytes) {
        unpacked.content.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return base::ok();
    });
    return unpacked;
}

std::string message(const Unpacked& unpacked)
{
    return unpacked.status ? "no error" : unpacked.status.error().message;
}

} // namespace

TEST_CASE("unpack: a member of a zip", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.zip", archive_write_set_format_zip, archive_write_add_filter_none,
                 {{"readme", "no"}, {"images/disk.img", "the disk"}});

    const Unpacked unpacked = run(folder / "a.zip", "zip", "images/disk.img", 8);

    CHECK(message(unpacked) == "no error");
    CHECK(unpacked.content == "the disk");
}

TEST_CASE("unpack: a member of an ISO image", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.iso", archive_write_set_format_iso9660, archive_write_add_filter_none,
                 {{"boot/kernel", "the kernel"}});

    CHECK(run(folder / "a.iso", "iso", "boot/kernel", 100).content == "the kernel");
}

TEST_CASE("unpack: a member of a tar, by pattern", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.tar.xz", archive_write_set_format_pax, archive_write_add_filter_xz,
                 {{"./boot/vmlinuz-6.1", "kernel"}});

    CHECK(run(folder / "a.tar.xz", "tar.xz", "boot/vmlinuz-*", 100).content == "kernel");
}

TEST_CASE("unpack: single compressed files", "[zoo]")
{
    const TemporaryFolder folder;
    const std::string content = noise(100'000);
    const auto make = [&](const char* name, Setup filter) {
        make_archive(folder / name, archive_write_set_format_raw, filter, {{"x", content}});
    };
    make("a.gz", archive_write_add_filter_gzip);
    make("a.xz", archive_write_add_filter_xz);
    make("a.zst", archive_write_add_filter_zstd);
    make("a.bz2", archive_write_add_filter_bzip2);

    CHECK(run(folder / "a.gz", "gz", "", 100'000).content == content);
    CHECK(run(folder / "a.xz", "xz", "", 100'000).content == content);
    CHECK(run(folder / "a.zst", "zst", "", 100'000).content == content);
    CHECK(run(folder / "a.bz2", "bz2", "", 100'000).content == content);
}

TEST_CASE("unpack: a bomb stops at the size that the recipe names", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "bomb.zst", archive_write_set_format_raw, archive_write_add_filter_zstd,
                 {{"x", std::string(64 << 20, '\0')}});

    const Unpacked unpacked = run(folder / "bomb.zst", "zst", "", 1 << 20);

    CHECK(message(unpacked) == "unpacks to more than the 1048576 bytes that the recipe names");
    CHECK(unpacked.content.size() <= 1 << 20);
}

TEST_CASE("unpack: a member that claims too much is refused before it is read", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.tar", archive_write_set_format_pax, archive_write_add_filter_none,
                 {{"big", std::string(2000, 'x')}});

    const Unpacked unpacked = run(folder / "a.tar", "tar", "big", 1999);

    CHECK(message(unpacked) == "unpacks to more than the 1999 bytes that the recipe names");
    CHECK(unpacked.content.empty());
}

TEST_CASE("unpack: a bomb in front of the member is seen by its ratio", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.tar.zst", archive_write_set_format_pax, archive_write_add_filter_zstd,
                 {{"bomb", std::string(160 << 20, '\0')}, {"wanted", "x"}});

    CHECK(message(run(folder / "a.tar.zst", "tar.zst", "wanted", 1)) ==
          "unpacks to more than 1000 times its size");
}

TEST_CASE("unpack: paths that leave their folder are refused", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "up.tar", archive_write_set_format_pax, archive_write_add_filter_none,
                 {{"../../etc/passwd", "x"}, {"wanted", "x"}});
    make_archive(folder / "root.tar", archive_write_set_format_pax, archive_write_add_filter_none,
                 {{"/etc/passwd", "x"}, {"wanted", "x"}});

    CHECK(message(run(folder / "up.tar", "tar", "wanted", 1)) ==
          "hostile path in the archive: ../../etc/passwd");
    CHECK(message(run(folder / "root.tar", "tar", "wanted", 1)) ==
          "hostile path in the archive: /etc/passwd");
}

TEST_CASE("unpack: a link is not taken for a file", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.tar", archive_write_set_format_pax, archive_write_add_filter_none,
                 {{"wanted", "", AE_IFLNK}});

    CHECK(message(run(folder / "a.tar", "tar", "wanted", 100)) == "wanted is not a plain file");
}

TEST_CASE("unpack: a missing member is named", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.zip", archive_write_set_format_zip, archive_write_add_filter_none,
                 {{"readme", "no"}});

    CHECK(message(run(folder / "a.zip", "zip", "disk.img", 8)) == "no member matches disk.img");
}

TEST_CASE("unpack: a truncated archive is an error", "[zoo]")
{
    const TemporaryFolder folder;
    make_archive(folder / "a.gz", archive_write_set_format_raw, archive_write_add_filter_gzip,
                 {{"x", noise(100'000)}});
    std::filesystem::resize_file(folder / "a.gz", 50'000);

    CHECK_FALSE(run(folder / "a.gz", "gz", "", 100'000).status);
}

TEST_CASE("unpack: what is not compressed at all is refused", "[zoo]")
{
    const TemporaryFolder folder;
    write_file(folder / "page", "<html>moved</html>");

    CHECK(message(run(folder / "page", "gz", "", 1000)) == "not compressed as gz");
    CHECK_FALSE(run(folder / "page", "zip", "x", 1000).status);
    CHECK_FALSE(run(folder / "page", "deb", "x", 1000).status);
}

TEST_CASE("unpack: inside paths", "[zoo]")
{
    CHECK(is_inside_path("a/b.img"));
    CHECK(is_inside_path("./a"));
    CHECK(is_inside_path("..a/b"));
    CHECK_FALSE(is_inside_path("/a"));
    CHECK_FALSE(is_inside_path("a/../../b"));
    CHECK_FALSE(is_inside_path("a\\b"));
    CHECK_FALSE(is_inside_path(""));
}
