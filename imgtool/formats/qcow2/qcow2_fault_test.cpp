// Errors of the host in the midst of what changes a qcow2 image.
#include "imgtool/node/name.hpp"
#include "imgtool/tests/qcow2_support.hpp"

using namespace img;
using img::test::need;
using img::test::TempDir;

namespace {

/// The image at `path`, which fails wherever it does what `event` says.
std::unique_ptr<ChainDisk> open_faulty(const std::string& path, std::string_view event)
{
    OpenOptions options{.path = {}, .read_only = false};
    REQUIRE(node::use_image_opts(options,
                                 "driver=qcow2,file.driver=blkdebug,file.image.filename=" + path +
                                     ",file.inject-error.0.event=" + std::string{event}));
    return need(open_chain(options));
}

/// A bit of everything. Steps that fail are left at that; says how many did.
int change(ChainDisk& disk)
{
    Image& image = *disk.layers().front().image;
    int failures = 0;
    const auto attempt = [&failures](const base::Status& done) { failures += done ? 0 : 1; };
    const std::vector<u8> ones(70'000, 1);
    for (const u64 at : {u64{0}, u64{200'000}, u64{900'000}}) {
        attempt(disk.write(at, ones));
    }
    attempt(disk.flush());
    attempt(image.create_snapshot("two", {}));
    attempt(disk.write(210'000, ones));
    std::vector<u8> bytes(70'000);
    attempt(disk.read(210'000, bytes));
    attempt(image.delete_snapshot("one"));
    attempt(disk.resize(u64{48} << 20, Preallocate::none));
    attempt(disk.write(u64{40} << 20, ones));
    attempt(disk.flush());
    const auto emptied = image.make_empty();
    failures += emptied ? 0 : 1;
    return failures;
}

} // namespace

TEST_CASE("qcow2: what is leaked by an emptying that fails is put right at the next opening")
{
    const TempDir dir;
    const std::string path = dir / "q";
    REQUIRE(create_qcow2(path, {.size = 1'500'000, .cluster_size = 512}));
    const OpenOptions writable{.path = path, .read_only = false};
    REQUIRE(need(open_chain(writable))->write(100'000, std::vector<u8>(150'000, 2)));

    CHECK_FALSE(open_faulty(path, "empty_image_prepare")->layers()[0].image->make_empty());
    CHECK(need(open_layer({.path = path}, OpenFor::check)).image->info().dirty);
    (void)need(open_chain(writable));

    auto layer = need(open_layer({.path = path}, OpenFor::check));
    const auto silent = [](const std::string&) {};
    CHECK(need(layer.image->check(Repair::none, silent)).leaks == 0);
    CHECK_FALSE(layer.image->info().dirty);
}

TEST_CASE("qcow2: an error anywhere leaves nothing worse than leaks")
{
    const TempDir dir;
    const std::string path = dir / "q";
    for (const std::string_view event :
         {"read_aio", "write_aio", "cow_read", "cow_write", "flush_to_disk", "l1_update",
          "l1_grow_write_table", "l1_grow_activate_table", "l2_load", "l2_update", "l2_alloc_write",
          "reftable_update", "refblock_load", "refblock_update_part", "refblock_alloc",
          "cluster_alloc", "cluster_free", "empty_image_prepare"}) {
        INFO(event);
        REQUIRE(create_qcow2(path, {.size = 1'500'000, .cluster_size = 512}));
        {
            OpenOptions options{.path = path, .read_only = false};
            auto disk = need(open_chain(options));
            REQUIRE(disk->write(100'000, std::vector<u8>(150'000, 2)));
            REQUIRE(disk->layers().front().image->create_snapshot("one", {}));
        }
        CHECK(change(*open_faulty(path, event)) > 0);
        {
            OpenOptions options{.path = path, .read_only = false};
            (void)need(open_chain(options)); // what was left dirty is put right
        }
        auto layer = need(open_layer({.path = path}, OpenFor::check));
        std::string problems;
        const CheckReport report = need(layer.image->check(
            Repair::none, [&](const std::string& problem) { problems += problem + "\n"; }));
        INFO(problems);
        CHECK(report.corruptions == 0);
        CHECK(report.check_errors == 0);
    }
}
