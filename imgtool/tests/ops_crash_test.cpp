// Crash tests of commands: commit, rebase, convert into an image that is there, patch in place, and
// repairs. Cut anywhere, all images open and are sound but for leaks, and what must not change when
// nothing goes wrong has not changed.
#include "base/endian.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/commit.hpp"
#include "imgtool/ops/convert.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/ops/delta.hpp"
#include "imgtool/ops/patch.hpp"
#include "imgtool/ops/rebase.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::test;

namespace {

constexpr u64 kSize = 500'224; // of most disks, in bytes

struct Kind {
    const char* format;
    CreateSettings settings;
};

const FormatDriver& driver_of(const std::string& format)
{
    const FormatDriver* driver = find_format(format);
    REQUIRE(driver != nullptr);
    return *driver;
}

/// Makes an image in `name`.
void make(MemoryFiles& files, const std::string& name, const Kind& kind, u64 size,
          const std::string& backing = {})
{
    CreateSettings settings = kind.settings;
    settings.emplace_back("size", std::to_string(size));
    if (!backing.empty()) {
        settings.emplace_back("backing_file", backing);
        settings.emplace_back("backing_fmt", kind.format);
    }
    const FormatDriver& driver = driver_of(kind.format);
    CreateContext context{.make_sibling = files.opener(), .open_sibling = files.opener()};
    const auto done =
        driver.create(*files.open(name), need(complete_settings(driver, settings)), context);
    if (!done) {
        FAIL(done.error().message);
    }
}

/// Opens `name` and what it says its backing files are, by `opener`; only the first can be written.
std::unique_ptr<ChainDisk> open_files(const Kind& kind, const OpenSibling& opener, std::string name,
                                      OpenFor purpose = OpenFor::use)
{
    std::vector<Layer> layers;
    while (!name.empty()) {
        OpenContext context{.purpose = purpose, .open_sibling = opener};
        auto image = need(driver_of(kind.format).open(need(opener(name)), context));
        const std::string below = image->info().backing_name;
        layers.push_back({.image = std::move(image), .path = name, .format = kind.format});
        name = below;
    }
    return std::make_unique<ChainDisk>(std::move(layers), purpose == OpenFor::check);
}

void scribble_on(MemoryFiles& files, const Kind& kind, const std::string& name, u32 seed)
{
    const auto disk = open_files(kind, files.opener(), name);
    (void)scribble(*disk, seed, 12, 40'000);
    REQUIRE(disk->flush());
}

std::vector<u8> content(MemoryFiles& files, const Kind& kind, const std::string& name)
{
    return read_all(*open_files(kind, files.opener(), name, OpenFor::check));
}

void is_sound(MemoryFiles& files, const Kind& kind, const std::string& name)
{
    const auto disk = open_files(kind, files.opener(), name, OpenFor::check);
    std::string problems;
    const auto report = disk->layers()[0].image->check(
        Repair::none, [&](const std::string& problem) { problems += problem + "\n"; });
    INFO(name << ": " << problems);
    REQUIRE((!report || report.value().corruptions == 0));
}

/// Looks at what every kind of cut leaves. Returns how many there were.
int each_cut(const FileLog& log, const std::function<void(MemoryFiles& files, Cut cut)>& look)
{
    const AtCut at_cut = [&](MemoryFiles files, Cut cut) {
        INFO("cut at " << cut.begin << " to " << cut.end);
        look(files, cut);
    };
    return each_prefix(log, 1 + log.log.size() / 200, at_cut) + each_loss(log, 1, at_cut);
}

std::vector<Kind> kinds_with_backing()
{
    return {{"qcow2", {{"cluster_size", "4k"}}},
            {"qcow2", {{"cluster_size", "16k"}, {"extended_l2", "on"}}},
            {"qcow2", {{"cluster_size", "512"}, {"compat", "0.10"}}},
            {"qcow2", {{"cluster_size", "4k"}, {"lazy_refcounts", "on"}}},
            {"qed", {{"cluster_size", "4k"}, {"table_size", "1"}}}};
}

} // namespace

TEST_CASE("ops crash: a commit that is cut leaves both images sound and the disk as it was")
{
    std::vector<Kind> kinds = kinds_with_backing();
    kinds.push_back({"qcow", {}});
    for (const Kind& kind : kinds) {
        INFO(kind.format);
        FileLog log;
        const bool grows = kind.format != std::string{"qcow"};
        make(log.start, "base", kind, grows ? kSize - 100 * 512 : kSize);
        scribble_on(log.start, kind, "base", 1);
        make(log.start, "top", kind, kSize, "base");
        scribble_on(log.start, kind, "top", 2);
        const std::vector<u8> disk = content(log.start, kind, "top");
        {
            RecordedFiles files{log};
            auto overlays = open_files(kind, files.opener(), "top");
            overlays->layers().pop_back(); // commit opens the base for itself
            auto base = open_files(kind, files.opener(), "base");
            REQUIRE(commit(*overlays, *base, {}));
            REQUIRE(need(overlays->layers()[0].image->make_empty()));
            REQUIRE(overlays->flush());
        }
        const int cuts = each_cut(log, [&](MemoryFiles& files, Cut) {
            is_sound(files, kind, "base");
            is_sound(files, kind, "top");
            REQUIRE((content(files, kind, "top") == disk));
        });
        CHECK(cuts > 50);
    }
}

TEST_CASE("ops crash: a rebase that is cut leaves the image sound and the disk as it was")
{
    for (const Kind& kind : kinds_with_backing()) {
        INFO(kind.format);
        FileLog log;
        make(log.start, "base", kind, kSize);
        scribble_on(log.start, kind, "base", 1);
        make(log.start, "other", kind, kSize - 200 * 512);
        scribble_on(log.start, kind, "other", 3);
        make(log.start, "top", kind, kSize, "base");
        scribble_on(log.start, kind, "top", 2);
        const std::vector<u8> disk = content(log.start, kind, "top");
        {
            RecordedFiles files{log};
            auto top = open_files(kind, files.opener(), "top");
            auto other = open_files(kind, files.opener(), "other", OpenFor::check);
            REQUIRE(copy_for_rebase(*top, other.get(), {}));
            REQUIRE(top->layers()[0].image->set_backing("other", kind.format));
            REQUIRE(top->flush());
        }
        const int cuts = each_cut(log, [&](MemoryFiles& files, Cut) {
            is_sound(files, kind, "top");
            REQUIRE((content(files, kind, "top") == disk));
        });
        CHECK(cuts > 50);
    }
}

namespace {

/// Formats that are written in place, with small disks.
std::vector<Kind> writable_kinds()
{
    std::vector<Kind> kinds = kinds_with_backing();
    for (const Kind& kind : std::initializer_list<Kind>{{"qcow", {}},
                                                        {"vmdk", {}},
                                                        {"vdi", {}},
                                                        {"vpc", {}},
                                                        {"vhdx", {{"block_size", "1M"}}}}) {
        kinds.push_back(kind);
    }
    return kinds;
}

void write_delta(ChainDisk& from, ChainDisk& to, ByteSource& file)
{
    DeltaHeader header{.old_size = from.size(), .new_size = to.size()};
    header.old_hash = need(tree_hash(from, {.block_size = header.block_size}));
    header.new_hash = need(tree_hash(to, {.block_size = header.block_size}));
    DeltaWriter writer = need(DeltaWriter::begin(file, header));
    const std::vector<u8> bytes = read_all(to);
    constexpr u64 kPiece = 20'480;
    for (u64 at = 0; at < bytes.size(); at += kPiece) {
        REQUIRE(writer.add_data(
            at, std::span{bytes}.subspan(at, std::min<u64>(kPiece, bytes.size() - at))));
    }
    REQUIRE(writer.finish());
}

std::unique_ptr<ChainDisk> noise_disk(u64 size)
{
    MemoryFiles files{noise(size, 4)};
    return open_files({"raw", {}}, files.opener(), kImageFile);
}

} // namespace

TEST_CASE("ops crash: convert -n that is cut leaves the target sound")
{
    for (const Kind& kind : writable_kinds()) {
        INFO(kind.format);
        FileLog log;
        make(log.start, "target", kind, kSize);
        scribble_on(log.start, kind, "target", 1);
        std::vector<std::unique_ptr<ChainDisk>> sources;
        sources.push_back(noise_disk(kSize));
        const std::vector<u8> wanted = read_all(*sources[0]);
        {
            RecordedFiles files{log};
            auto target = open_files(kind, files.opener(), "target");
            REQUIRE(convert(sources, *target, {.target_is_zero = false, .threads = 1}));
            REQUIRE(target->flush());
        }
        const std::size_t end = log.log.size();
        const int cuts = each_cut(log, [&](MemoryFiles& files, Cut cut) {
            is_sound(files, kind, "target");
            const std::vector<u8> now = content(files, kind, "target");
            if (cut.begin == end) { // vpc rounds its disks' sizes
                REQUIRE(std::equal(wanted.begin(), wanted.end(), now.begin()));
            }
        });
        CHECK(cuts > 5);
    }
}

TEST_CASE("ops crash: a patch in place that is cut leaves the image sound, its bytes old or new")
{
    for (const Kind& kind : writable_kinds()) {
        INFO(kind.format);
        MemoryFiles both;
        make(both, "old", kind, kSize);
        scribble_on(both, kind, "old", 1);
        make(both, "new", kind, kSize);
        scribble_on(both, kind, "new", 2);
        const std::vector<u8> old_bytes = content(both, kind, "old");
        const std::vector<u8> new_bytes = content(both, kind, "new");
        REQUIRE(old_bytes.size() == new_bytes.size());
        auto delta_file = both.open("delta");
        {
            auto from = open_files(kind, both.opener(), "old");
            auto to = open_files(kind, both.opener(), "new");
            write_delta(*from, *to, *delta_file);
        }
        FileLog log{.start = MemoryFiles{both}};
        {
            RecordedFiles files{log};
            auto target = open_files(kind, files.opener(), "old");
            auto delta = need(DeltaReader::open(*delta_file));
            REQUIRE(apply_delta(delta, *target));
        }
        const int cuts = each_cut(log, [&](MemoryFiles& files, Cut) {
            is_sound(files, kind, "old");
            const std::vector<u8> now = content(files, kind, "old");
            bool known = now.size() == old_bytes.size();
            for (std::size_t i = 0; known && i < now.size(); ++i) {
                known = now[i] == old_bytes[i] || now[i] == new_bytes[i];
            }
            REQUIRE(known);
        });
        CHECK(cuts > 5);
    }
}

namespace {

/// An image that is broken in a way that can be repaired without losing data.
struct Damage {
    const char* what;
    Kind kind;
    void (*inflict)(std::vector<u8>& file);
};

/// Puts `value` into all counts of the first refcount block (QCOW2, "Refcounts": 16 bits each).
void set_counts(std::vector<u8>& file, base::u16 value)
{
    const u64 block = base::load_be<u64>(file, base::load_be<u64>(file, 48));
    for (u64 at = block; at < block + 4096; at += sizeof value) {
        base::store_be<base::u16>(file, at, value);
    }
}

const Damage kDamages[]{
    {"counts that are all gone",
     {"qcow2", {{"cluster_size", "4k"}}},
     [](std::vector<u8>& file) { set_counts(file, 0); }},
    {"counts that are too high",
     {"qcow2", {{"cluster_size", "4k"}}},
     [](std::vector<u8>& file) { set_counts(file, 3); }},
    {"a refcount table that is gone",
     {"qcow2", {{"cluster_size", "4k"}, {"compat", "0.10"}}},
     [](std::vector<u8>& file) { base::store_be<u64>(file, base::load_be<u64>(file, 48), 0); }},
    {"clusters that nothing refers to",
     {"qed", {{"cluster_size", "4k"}, {"table_size", "1"}}},
     [](std::vector<u8>& file) {
         file.resize(file.size() + 12288, 7);
         file[16] |= 2; // QED, "Specification": QED_F_NEED_CHECK
     }},
    {"a count of blocks that is too low",
     {"vdi", {}},
     [](std::vector<u8>& file) { base::store_le<u32>(file, 0x184, 0); }},
    {"a disk that was not closed, and blocks that nothing refers to",
     {"parallels", {{"cluster_size", "4k"}}},
     [](std::vector<u8>& file) {
         base::store_le<u32>(file, 44, 0x746f6e59); // Parallels, "in_use"
         file.resize(file.size() + 12288, 7);
     }},
    {"a footer that is gone", {"vpc", {}}, [](std::vector<u8>& file) {
         std::fill(file.end() - 512, file.end(), u8{0});
     }}};

Result<CheckReport> repair(const Kind& kind, const OpenSibling& opener)
{
    const auto disk = open_files(kind, opener, "a", OpenFor::check);
    return disk->layers()[0].image->check(Repair::all, [](const std::string&) {});
}

} // namespace

TEST_CASE("ops crash: a repair that is cut can be made again, and nothing is lost")
{
    for (const Damage& damage : kDamages) {
        INFO(damage.kind.format << ": " << damage.what);
        FileLog log;
        make(log.start, "a", damage.kind, kSize);
        scribble_on(log.start, damage.kind, "a", 1);
        const std::vector<u8> disk = content(log.start, damage.kind, "a");
        damage.inflict(log.start.bytes("a"));
        {
            RecordedFiles files{log};
            const auto done = need(repair(damage.kind, files.opener()));
            CHECK(done.corruptions_fixed + done.leaks_fixed > 0);
        }
        const int cuts = each_cut(log, [&](MemoryFiles& files, Cut) {
            REQUIRE((content(files, damage.kind, "a") == disk));
            need(repair(damage.kind, files.opener()));
            is_sound(files, damage.kind, "a");
            REQUIRE((content(files, damage.kind, "a") == disk));
        });
        CHECK(cuts > 2);
    }
}
