// Changes to an image as a whole for which there is not enough room, or which the host fails in the
// midst of: the image is what it was before.
#include "imgtool/bitmap.hpp"
#include "imgtool/chain/chain.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/commit.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/ops/rebase.hpp"
#include "imgtool/secret.hpp"
#include "imgtool/tests/failing_source.hpp"
#include "imgtool/tests/support.hpp"

#include <functional>

using namespace img;
using namespace img::test;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

constexpr u64 kSize = 150'016; // of all disks, in bytes

struct Subject {
    const char* what;
    const char* format;
    CreateSettings settings;
    std::function<Status(ChainDisk&)> change;
    std::function<Status(ChainDisk&)> prepare = {}; // before, with all the room there is
    bool can_be_marked = true; // as dirty, while counts are wrong (qcow2_snapshot.cpp)
    u64 step = 1;              // of how much is tried, in sectors, pages or changes
    CreateSettings keys = {};  // to open it
};

/// Passphrases of encrypted images.
const Secrets& secrets()
{
    static const Secrets known = [] {
        Secrets two;
        two.add("s", "old passphrase");
        two.add("t", "new passphrase");
        return two;
    }();
    return known;
}

Image& image_of(ChainDisk& disk)
{
    return *disk.layers().front().image;
}

std::function<Status(ChainDisk&)> growing(Preallocate how)
{
    return [how](ChainDisk& disk) { return disk.resize(400'384, how); };
}

std::function<Status(ChainDisk&)> amending(CreateSettings settings)
{
    return [settings](ChainDisk& disk) {
        OpenContext context{.secrets = &secrets()};
        const FormatDriver& driver = *find_format(disk.layers().front().format);
        return image_of(disk).amend(need(complete_settings(driver.amend_options, settings)),
                                    context, false);
    };
}

Status take_snapshot(ChainDisk& disk)
{
    return image_of(disk).create_snapshot("one", {});
}

/// A snapshot that has other clusters than the disk.
Status take_and_write(ChainDisk& disk)
{
    auto done = take_snapshot(disk);
    return done ? disk.write(30'000, noise(60'000, 8)) : done;
}

Status add_bitmap(ChainDisk& disk)
{
    return image_of(disk).bitmaps()->add("one", 512, false);
}

Status fill_bitmap(ChainDisk& disk)
{
    const std::vector<bool> all(kSize / 512, true);
    return image_of(disk).bitmaps()->merge("one", all, 512);
}

Status add_and_fill_bitmap(ChainDisk& disk)
{
    auto done = add_bitmap(disk);
    return done ? fill_bitmap(disk) : done;
}

std::vector<Subject> subjects()
{
    const CreateSettings small{{"cluster_size", "512"}};
    const CreateSettings old{{"cluster_size", "512"}, {"compat", "0.10"}};
    const CreateSettings luks{{"key-secret", "s"}, {"iter-time", "1"}};
    const CreateSettings luks_inside{{"cluster_size", "512"},
                                     {"encrypt.format", "luks"},
                                     {"encrypt.key-secret", "s"},
                                     {"encrypt.iter-time", "1"}};
    return {
        {"grow", "qcow2", small, growing(Preallocate::none)},
        {"grow with metadata", "qcow2", small, growing(Preallocate::metadata)},
        {"grow with falloc", "qcow2", small, growing(Preallocate::reserve)},
        {"grow with full", "qcow2", small, growing(Preallocate::write)},
        {"grow with full, v2", "qcow2", old, growing(Preallocate::write)},
        {"grow with full and a bitmap", "qcow2", small, growing(Preallocate::write),
         add_and_fill_bitmap},
        {"grow until the table of counts moves",
         "qcow2",
         {{"cluster_size", "512"}, {"refcount_bits", "64"}},
         [](ChainDisk& disk) { return disk.resize(2'500'096, Preallocate::write); },
         {},
         true,
         97},
        {"more bits for counts", "qcow2", small, amending({{"refcount_bits", "64"}})},
        {"fewer bits for counts", "qcow2", small, amending({{"refcount_bits", "8"}})},
        {"version 3", "qcow2", old, amending({{"compat", "1.1"}})},
        {"version 3 with a snapshot", "qcow2", old, amending({{"compat", "1.1"}}), take_and_write},
        {"version 2", "qcow2", small, amending({{"compat", "0.10"}})},
        {"take a snapshot", "qcow2", small, take_snapshot},
        {"take a snapshot, v2", "qcow2", old, take_snapshot, {}, false},
        {"apply a snapshot", "qcow2", small,
         [](ChainDisk& disk) { return image_of(disk).apply_snapshot("one"); }, take_and_write},
        {"delete a snapshot", "qcow2", small,
         [](ChainDisk& disk) { return image_of(disk).delete_snapshot("one"); }, take_and_write},
        {"add a bitmap", "qcow2", small, add_bitmap},
        {"fill a bitmap", "qcow2", small, fill_bitmap, add_bitmap},
        {"clear a bitmap", "qcow2", small,
         [](ChainDisk& disk) { return image_of(disk).bitmaps()->clear("one"); },
         add_and_fill_bitmap},
        {"another backing file", "qcow2", small,
         [](ChainDisk& disk) { return image_of(disk).set_backing("other", "raw"); }},
        {"grow", "raw", {}, growing(Preallocate::none)},
        {"grow with falloc", "raw", {}, growing(Preallocate::reserve)},
        {"grow with full", "raw", {}, growing(Preallocate::write)},
        {"grow with full",
         "luks",
         luks,
         growing(Preallocate::write),
         {},
         true,
         16,
         {{"key-secret", "s"}}},
        {"another passphrase",
         "luks",
         luks,
         amending({{"new-secret", "t"}, {"state", "active"}, {"iter-time", "1"}}),
         {},
         true,
         1,
         {{"key-secret", "s"}}},
        {"another passphrase",
         "qcow2",
         luks_inside,
         amending({{"encrypt.new-secret", "t"},
                   {"encrypt.state", "active"},
                   {"encrypt.iter-time", "1"}}),
         {},
         true,
         1,
         {{"encrypt.key-secret", "s"}}},
        {"grow", "qed", {{"cluster_size", "4k"}, {"table_size", "1"}}, growing(Preallocate::none)},
    };
}

std::unique_ptr<ChainDisk> open(const Subject& subject, const Bytes& bytes, Failing& failing)
{
    OpenContext context{.secrets = &secrets(), .options = subject.keys};
    std::vector<Layer> layers;
    layers.push_back(
        {.image = need(find_format(subject.format)
                           ->open(std::make_unique<FailingSource>(bytes, failing), context)),
         .path = "memory",
         .format = subject.format});
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

void succeed(const Status& done)
{
    if (!done) {
        FAIL(done.error().message);
    }
}

/// An image with something in it.
Bytes make(const Subject& subject)
{
    const FormatDriver& driver = *find_format(subject.format);
    CreateSettings settings = subject.settings;
    settings.emplace_back("size", std::to_string(kSize));
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context{.secrets = &secrets()};
    succeed(driver.create(file, need(complete_settings(driver, settings)), context));
    Failing never;
    auto disk = open(subject, bytes, never);
    succeed(disk->write(10'000, noise(70'000, 3)));
    succeed(disk->flush());
    if (subject.prepare) {
        succeed(subject.prepare(*disk));
    }
    succeed(disk->flush());
    return bytes;
}

/// All that can be told of an image from outside.
struct State {
    std::vector<u8> content;
    std::vector<std::string> snapshots;
    std::vector<std::string> bitmaps;
    std::string backing;
    std::vector<Property> specific;
    u64 corruptions = 0, leaks = 0, check_errors = 0;

    bool is_sound() const { return corruptions == 0 && check_errors == 0; }
    bool same_as(const State& other) const
    {
        return content == other.content && snapshots == other.snapshots &&
               bitmaps == other.bitmaps && backing == other.backing;
    }
};

std::vector<std::string> bitmap_bits(BitmapStore& bitmaps)
{
    std::vector<std::string> all;
    for (const BitmapInfo& bitmap : bitmaps.list()) {
        std::string text = bitmap.name + ":";
        const auto bits = bitmaps.load(bitmap.name);
        for (const bool bit : bits ? bits.value() : std::vector<bool>{}) {
            text += bit ? '1' : '0';
        }
        all.push_back(text);
    }
    return all;
}

State look(const Subject& subject, const Bytes& bytes)
{
    State state;
    Failing never;
    {
        auto disk = open(subject, bytes, never); // what was left dirty is put right
        state.content = read_all(*disk);
        const ImageInfo info = image_of(*disk).info();
        for (const SnapshotInfo& snapshot : info.snapshots) {
            state.snapshots.push_back(snapshot.name);
        }
        state.backing = info.backing_name;
        if (BitmapStore* bitmaps = image_of(*disk).bitmaps()) {
            state.bitmaps = bitmap_bits(*bitmaps);
        }
    }
    OpenContext checking{.purpose = OpenFor::check, .secrets = &secrets()};
    auto image = need(
        find_format(subject.format)->open(std::make_unique<FailingSource>(bytes, never), checking));
    std::string problems;
    const auto report =
        image->check(Repair::none, [&](const std::string& text) { problems += text + "\n"; });
    if (report) {
        state.corruptions = report.value().corruptions;
        state.leaks = report.value().leaks;
        state.check_errors = report.value().check_errors;
    }
    UNSCOPED_INFO(problems);
    return state;
}

struct Attempt {
    bool changed; // it said so
    State state;
};

Attempt attempt(const Subject& subject, const Bytes& before, Failing& failing)
{
    const auto bytes = std::make_shared<std::vector<u8>>(*before);
    bool changed = false;
    {
        auto disk = open(subject, bytes, failing);
        changed = static_cast<bool>(subject.change(*disk));
        changed = disk->flush() && changed;
    }
    if (!subject.can_be_marked) {
        Failing never;
        OpenContext checking{.purpose = OpenFor::check, .secrets = &secrets()};
        auto image = need(find_format(subject.format)
                              ->open(std::make_unique<FailingSource>(bytes, never), checking));
        (void)need(image->check(Repair::all, [](const std::string&) {}));
    }
    return {changed, look(subject, bytes)};
}

} // namespace

TEST_CASE("undo: a change for which the file cannot grow enough leaves the image as it was")
{
    for (const Subject& subject : subjects()) {
        DYNAMIC_SECTION(subject.format << ": " << subject.what)
        {
            const Bytes before = make(subject);
            const State was = look(subject, before);
            CHECK(was.leaks == 0);
            bool changed = false;
            for (u64 limit = before->size(); !changed; limit += 512 * subject.step) {
                INFO("of " << before->size() << " bytes, limit " << limit);
                Failing failing{.limit = limit};
                const Attempt made = attempt(subject, before, failing);
                changed = made.changed;
                CHECK(made.state.is_sound());
                CHECK(made.state.leaks == 0);
                CHECK((changed || made.state.same_as(was)));
                REQUIRE(limit < before->size() + (4 << 20));
            }
        }
    }
}

TEST_CASE("undo: a change for whose holes the host has no room leaves the image as it was")
{
    for (const Subject& subject : subjects()) {
        DYNAMIC_SECTION(subject.format << ": " << subject.what)
        {
            const Bytes before = make(subject);
            const State was = look(subject, before);
            bool changed = false;
            for (u64 room = 0; !changed; room += subject.step) {
                INFO(room << " pages");
                Failing failing{.room = room};
                const Attempt made = attempt(subject, before, failing);
                changed = made.changed;
                CHECK(made.state.is_sound());
                CHECK((changed || made.state.same_as(was)));
                REQUIRE(room < 8192);
            }
        }
    }
}

TEST_CASE("undo: a change that fails at any write or flush is made or not, and the image is sound")
{
    for (const Subject& subject : subjects()) {
        DYNAMIC_SECTION(subject.format << ": " << subject.what)
        {
            const Bytes before = make(subject);
            const State was = look(subject, before);
            Failing never;
            const State done = attempt(subject, before, never).state;
            bool failed = true;
            for (u64 at = 0; failed; at += subject.step) {
                INFO("change " << at);
                Failing failing{.at_change = at};
                const Attempt made = attempt(subject, before, failing);
                failed = failing.changes > at;
                CHECK(made.state.is_sound());
                CHECK((made.state.same_as(was) || made.state.same_as(done)));
            }
        }
    }
}

namespace {

/// Files by name that can be opened with a failing one among them.
struct Chain {
    Bytes base =
        make({.what = "", .format = "qcow2", .settings = {{"cluster_size", "512"}}, .change = {}});
    Bytes other =
        make({.what = "",
              .format = "qcow2",
              .settings = {{"cluster_size", "512"}},
              .change = {},
              .prepare = [](ChainDisk& disk) { return disk.write(0, noise(90'000, 5)); }});
    Bytes top = make(
        {.what = "",
         .format = "qcow2",
         .settings = {{"cluster_size", "512"}, {"backing_file", "base"}, {"backing_fmt", "qcow2"}},
         .change = {},
         .prepare = [](ChainDisk& disk) { return disk.write(60'000, noise(80'000, 6)); }});
    const Subject plain{.what = "", .format = "qcow2", .settings = {}, .change = {}};

    /// The top image over its backing file; each may fail.
    std::unique_ptr<ChainDisk> disk(Failing& of_top, Failing& of_base)
    {
        auto upper = open(plain, top, of_top);
        auto lower = open(plain, base, of_base);
        std::vector<Layer> layers;
        layers.push_back(std::move(upper->layers().front()));
        layers.push_back(std::move(lower->layers().front()));
        return std::make_unique<ChainDisk>(std::move(layers), false);
    }
    std::vector<u8> content()
    {
        Failing never;
        return read_all(*disk(never, never));
    }
};

} // namespace

TEST_CASE("undo: a commit for which there is no room leaves the disk as it was")
{
    const std::vector<u8> content = Chain{}.content();
    bool done = false;
    for (u64 room = 0; !done; room += 8192) {
        INFO(room << " bytes");
        Chain chain;
        Failing never;
        Failing full{.limit = chain.base->size() + room};
        {
            auto overlay = open(chain.plain, chain.top, never);
            auto base = open(chain.plain, chain.base, full);
            done = static_cast<bool>(commit(*overlay, *base, {}));
        }
        CHECK(chain.content() == content);
        const State base = look(chain.plain, chain.base);
        CHECK(base.is_sound());
        CHECK(base.leaks == 0);
        CHECK((room != 0 || !done));
        REQUIRE(room < (1 << 20));
    }
}

TEST_CASE("undo: a rebase for which there is no room leaves the disk as it was")
{
    const std::vector<u8> content = Chain{}.content();
    bool done = false;
    for (u64 room = 0; !done; room += 8192) {
        INFO(room << " bytes");
        Chain chain;
        Failing never;
        Failing full{.limit = chain.top->size() + room};
        {
            auto disk = chain.disk(full, never);
            auto other = open(chain.plain, chain.other, never);
            done = static_cast<bool>(copy_for_rebase(*disk, other.get(), {}));
        }
        CHECK(chain.content() == content);
        const State top = look(chain.plain, chain.top);
        CHECK(top.is_sound());
        CHECK(top.leaks == 0);
        CHECK((room != 0 || !done));
        REQUIRE(room < (1 << 20));
    }
}
