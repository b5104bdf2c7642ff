#include "imgtool/tests/crash.hpp"

#include "imgtool/bitmap.hpp"
#include "imgtool/formats/raw/raw.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <algorithm>
#include <memory>
#include <random>

#include <fcntl.h>
#include <unistd.h>

namespace img::test {

namespace {

/// What has been flushed, and what may have come over it since.
struct Expected {
    const std::vector<u8>* bytes = nullptr; // null: nothing is known
    std::vector<const DiskChange*> changes = {};
};

Expected expected_at(const Recording& r, Cut cut)
{
    const auto last = r.flushed.upper_bound(cut.begin);
    Expected expected;
    if (last == r.flushed.begin() || std::prev(last)->second.empty()) {
        return expected;
    }
    expected.bytes = &std::prev(last)->second;
    for (const DiskChange& change : r.changes) {
        if (change.when >= std::prev(last)->first && change.when < cut.end) {
            expected.changes.push_back(&change);
        }
    }
    return expected;
}

/// Whether byte `i` may be what it is.
bool is_kept(const Recording& r, const Expected& expected, u64 i, u8 now)
{
    const std::vector<u8>& then = *expected.bytes;
    const u8 was = i < then.size() ? then[i] : u8{0};
    if (was == now || (r.changes.empty() && was == 0)) { // without any, each is written once
        return true;
    }
    return std::ranges::any_of(expected.changes, [&](const DiskChange* c) {
        return i >= c->at && i - c->at < c->bytes.size() && c->bytes[i - c->at] == now;
    });
}

void check_content(const Recording& r, const Expected& expected, const std::vector<u8>& now)
{
    if (expected.bytes == nullptr) {
        return;
    }
    const std::vector<u8>& then = *expected.bytes;
    // Of a raw disk that grows, some writes may be there and the new size not.
    const bool size_kept = now.size() == then.size() || r.driver == &raw::kDriver ||
                           std::ranges::any_of(expected.changes, [&](const DiskChange* c) {
                               return c->size == now.size();
                           });
    REQUIRE(size_kept);
    constexpr std::size_t kPiece = 4096;
    for (std::size_t at = 0; at < now.size(); at += kPiece) {
        const std::size_t end = std::min(at + kPiece, now.size());
        if (end <= then.size() && std::equal(now.begin() + static_cast<std::ptrdiff_t>(at),
                                             now.begin() + static_cast<std::ptrdiff_t>(end),
                                             then.begin() + static_cast<std::ptrdiff_t>(at))) {
            continue;
        }
        for (std::size_t i = at; i < end; ++i) {
            if (!is_kept(r, expected, i, now[i])) {
                CAPTURE(i, now.size(), int{now[i]});
                FAIL("a byte that was flushed is lost");
            }
        }
    }
}

/// A bitmap that can be used has all that was written since it was begun.
void check_bitmaps(const Recording& r, Image& image, const std::vector<u8>& now)
{
    BitmapStore* store = r.bitmap_bases.empty() ? nullptr : image.bitmaps();
    if (store == nullptr) {
        return;
    }
    for (const BitmapInfo& bitmap : store->list()) {
        const auto base = r.bitmap_bases.find(bitmap.name);
        if (bitmap.in_use || base == r.bitmap_bases.end()) {
            continue;
        }
        INFO("bitmap " << bitmap.name);
        const std::vector<bool> dirty = need(store->load(bitmap.name));
        bool marked = true;
        for (std::size_t i = 0; i < std::min(now.size(), base->second.size()); ++i) {
            marked = marked && (now[i] == base->second[i] || dirty[i / bitmap.granularity]);
        }
        REQUIRE(marked);
    }
}

/// Nothing is said on standard error while this lives.
class QuietErrors {
public:
    QuietErrors() : saved_{::dup(STDERR_FILENO)}
    {
        const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        ::dup2(nowhere, STDERR_FILENO);
        ::close(nowhere);
    }
    ~QuietErrors()
    {
        ::dup2(saved_, STDERR_FILENO);
        ::close(saved_);
    }
    QuietErrors(const QuietErrors&) = delete;
    QuietErrors& operator=(const QuietErrors&) = delete;

private:
    int saved_;
};

/// Whoever opens the image to go on with it finds the same, and can.
void check_use(MemoryFiles& files, const Recording& r, std::vector<u8>& bytes)
{
    const auto open = [&](OpenFor purpose) {
        return open_subject(r, files.open(kImageFile), files.opener(), purpose);
    };
    auto disk = [&] {
        const QuietErrors quiet; // repairs of dirty images are told there
        return open(OpenFor::use);
    }();
    REQUIRE((read_all(*disk) == bytes));
    const auto packing = disk->layers()[0].image->packing();
    if (!bytes.empty() && !(packing && packing->always)) {
        const std::size_t at = bytes.size() / 3;
        const std::vector<u8> more = noise(std::min<std::size_t>(700, bytes.size() - at), 1);
        std::ranges::copy(more, bytes.begin() + static_cast<std::ptrdiff_t>(at));
        REQUIRE(disk->write(at, more));
    }
    disk.reset();
    disk = open(OpenFor::check);
    REQUIRE((read_all(*disk) == bytes));
    const auto report = disk->layers()[0].image->check(Repair::none, [](const std::string&) {});
    REQUIRE((!report || report.value().corruptions == 0));
}

} // namespace

std::unique_ptr<ChainDisk> open_subject(const CrashSubject& subject,
                                        std::unique_ptr<ByteSource> file, OpenSibling siblings,
                                        OpenFor purpose)
{
    OpenContext context = subject.context;
    context.purpose = purpose;
    context.open_sibling = std::move(siblings);
    context.trust_data_files = true;
    std::vector<Layer> layers;
    layers.push_back({.image = need(subject.driver->open(std::move(file), context)),
                      .path = kImageFile,
                      .format = std::string{subject.driver->name}});
    if (!subject.backing.empty()) {
        layers.push_back({.image = need(open_alone(
                              raw::kDriver, std::make_unique<MemorySource>(subject.backing))),
                          .path = "backing",
                          .format = "raw"});
    }
    return std::make_unique<ChainDisk>(std::move(layers), purpose == OpenFor::check);
}

void check_remains(MemoryFiles files, const Recording& r, Cut cut)
{
    INFO(r.driver->name << " cut at " << cut.begin << " to " << cut.end);
    const auto open = [&] {
        return open_subject(r, files.open(kImageFile), files.opener(), OpenFor::check);
    };
    if (r.mended) {
        REQUIRE(open()->layers()[0].image->check(Repair::all, [](const std::string&) {}));
    }
    auto disk = open();
    Image& image = *disk->layers()[0].image;
    std::string problems;
    const auto report =
        image.check(Repair::none, [&](const std::string& problem) { problems += problem + "\n"; });
    INFO(problems);
    if (report || report.error().code != base::Errc::unsupported) {
        REQUIRE(report);
        REQUIRE(report.value().corruptions == 0);
    }
    std::vector<u8> now = read_all(*disk);
    check_content(r, expected_at(r, cut), now);
    check_bitmaps(r, image, now);
    disk.reset();
    check_use(files, r, now);
}

Recording record_run(const FormatDriver& driver, std::vector<u8> start,
                     const std::function<void(ChainDisk& disk, Recording& recording)>& run)
{
    Recording r;
    r.driver = &driver;
    r.start = MemoryFiles{std::move(start)};
    RecordedFiles files{r};
    const auto disk = open_subject(r, files.open(kImageFile), files.opener());
    run(*disk, r);
    return r;
}

Recording record_writes(const FormatDriver& driver, std::vector<u8> start, u64 block, u32 seed)
{
    return record_run(driver, std::move(start), [&](ChainDisk& disk, Recording& r) {
        std::vector<u64> blocks(disk.size() / block);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            blocks[i] = i;
        }
        std::mt19937 random{seed};
        std::shuffle(blocks.begin(), blocks.end(), random);
        std::vector<u8> mirror(disk.size());
        for (const u64 at : blocks) {
            const std::vector<u8> data = noise(block, static_cast<u32>(at));
            REQUIRE(disk.write(at * block, data));
            std::copy(data.begin(), data.end(),
                      mirror.begin() + static_cast<std::ptrdiff_t>(at * block));
            if (random() % 8 == 0) {
                REQUIRE(disk.flush());
                r.flushed[r.log.size()] = mirror;
            }
        }
    });
}

int check_prefixes(const Recording& r, std::size_t step)
{
    return each_prefix(
        r, step, [&](MemoryFiles files, Cut cut) { check_remains(std::move(files), r, cut); });
}

int check_losses(const Recording& r, u32 seed)
{
    return each_loss(r, seed,
                     [&](MemoryFiles files, Cut cut) { check_remains(std::move(files), r, cut); });
}

} // namespace img::test
