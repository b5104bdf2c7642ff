// Cuts a recorded run of writes at every point, and between flushes in any order, and looks at what
// a power cut there would have left.
#include "imgtool/filter/compression.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/formats/qcow2/qcow2_image.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <map>

using namespace img;
using namespace img::qcow2;
using img::test::need;

namespace {

struct Event {
    enum class Kind { write, zero, resize, flush } kind;
    u64 at = 0;
    u64 length = 0;
    std::vector<u8> bytes = {};
};

/// Memory that writes down all that is done to it.
class RecordingSource final : public ByteSource {
public:
    RecordingSource(std::vector<u8> bytes, std::vector<Event>& log)
        : memory_{std::move(bytes)}, log_{log}
    {}

    const std::string& name() const override { return memory_.name(); }
    u64 size() const override { return memory_.size(); }
    bool read_only() const override { return false; }
    u64 allocated() const override { return memory_.size(); }
    Status read(FileOffset at, std::span<u8> into) override { return memory_.read(at, into); }
    Result<Run> run_at(FileOffset at) override { return memory_.run_at(at); }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        log_.push_back({Event::Kind::write, at.bytes, from.size(), {from.begin(), from.end()}});
        return memory_.write(at, from);
    }
    Status zero(FileOffset at, u64 length) override
    {
        log_.push_back({Event::Kind::zero, at.bytes, length});
        return memory_.zero(at, length);
    }
    Status reserve(FileOffset at, u64 length) override { return zero(at, length); }
    Status resize(u64 size) override
    {
        log_.push_back({Event::Kind::resize, 0, size});
        return memory_.resize(size);
    }
    Status flush() override
    {
        log_.push_back({Event::Kind::flush});
        return base::ok();
    }

private:
    MemorySource memory_;
    std::vector<Event>& log_;
};

void apply(MemorySource& file, const Event& event)
{
    switch (event.kind) {
    case Event::Kind::write:
        REQUIRE(file.write(FileOffset{event.at}, event.bytes));
        return;
    case Event::Kind::zero:
        REQUIRE(file.zero(FileOffset{event.at}, event.length));
        return;
    case Event::Kind::resize:
        REQUIRE(file.resize(event.length));
        return;
    case Event::Kind::flush:
        return;
    }
}

/// A run with what the disk held at each flush.
struct Recording {
    std::vector<u8> start;
    std::vector<Event> log;
    std::map<std::size_t, std::vector<u8>> flushed; // by the length of the log then
    u64 block = 0;                                  // every write is of one block
};

/// Stores the whole disk as compressed clusters of zeroes, which later writes give back.
void pack_all(const std::shared_ptr<std::vector<u8>>& bytes)
{
    auto image = need(kDriver.open(std::make_unique<MemorySource>(bytes), OpenFor::use));
    const u64 block = image->packing()->block_size;
    Packer packer{image->packing()->codec};
    std::vector<u8> packed(block - 1);
    const std::size_t n = packer.pack(std::vector<u8>(block), packed);
    for (u64 at = 0; at < image->size(); at += block) {
        REQUIRE(image->write_packed(GuestOffset{at}, std::span{packed}.first(n)));
    }
    REQUIRE(image->flush());
}

/// Every block is written once only, so that what was flushed may not change any more.
Recording record(const CreateParameters& parameters, u32 seed, bool packed)
{
    Recording r{.start = {}, .log = {}, .flushed = {}, .block = 4100};
    auto bytes = std::make_shared<std::vector<u8>>();
    {
        MemorySource file{bytes};
        REQUIRE(qcow2::create(file, parameters));
    }
    if (packed) {
        pack_all(bytes);
    }
    r.start = *bytes;
    std::vector<Layer> layers;
    layers.push_back({.image = need(kDriver.open(std::make_unique<RecordingSource>(r.start, r.log),
                                                 OpenFor::use)),
                      .path = "memory",
                      .format = "qcow2"});
    ChainDisk disk{std::move(layers), false};
    std::vector<u64> blocks(parameters.size / r.block);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        blocks[i] = i;
    }
    std::mt19937 random{seed};
    std::shuffle(blocks.begin(), blocks.end(), random);
    std::vector<u8> mirror(parameters.size);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        const std::vector<u8> data = test::noise(r.block, static_cast<u32>(blocks[i]));
        REQUIRE(disk.write(blocks[i] * r.block, data));
        std::copy(data.begin(), data.end(),
                  mirror.begin() + static_cast<std::ptrdiff_t>(blocks[i] * r.block));
        if (random() % 8 == 0) {
            REQUIRE(disk.flush());
            r.flushed[r.log.size()] = mirror;
        }
    }
    return r;
}

/// The image must be sound but for leaks, and hold all that had been flushed.
void check_remains(const std::vector<u8>& bytes, const Recording& r, std::size_t cut)
{
    auto image = need(kDriver.open(std::make_unique<MemorySource>(bytes), OpenFor::check));
    std::string problems;
    const CheckReport report = need(image->check(
        Repair::none, [&](const std::string& problem) { problems += problem + "\n"; }));
    INFO("cut at " << cut << "\n" << problems);
    REQUIRE(report.corruptions == 0);

    std::vector<Layer> layers;
    layers.push_back({.image = std::move(image), .path = "memory", .format = "qcow2"});
    ChainDisk disk{std::move(layers), true};
    const std::vector<u8> now = test::read_all(disk);
    auto last = r.flushed.upper_bound(cut);
    if (last == r.flushed.begin()) {
        return;
    }
    const std::vector<u8>& then = std::prev(last)->second;
    bool kept = true;
    for (std::size_t i = 0; i < then.size(); ++i) {
        kept = kept && (then[i] == 0 || then[i] == now[i]);
    }
    REQUIRE(kept);
}

CreateParameters small_clusters()
{
    // A refcount block of 512 bytes and 64 bits counts 64 clusters; a table cluster names 64 of
    // those: 2 MiB. The run below makes the table move.
    return {.size = 2'300'000, .cluster_size = 512, .refcount_bits = 64};
}

} // namespace

TEST_CASE("qcow2 crash: killed at any write, an image is sound and has what was flushed")
{
    const Recording r = record(small_clusters(), 1, false);
    auto bytes = std::make_shared<std::vector<u8>>(r.start);
    MemorySource file{bytes};

    REQUIRE(r.log.size() > 1000);
    for (std::size_t cut = 0; cut < r.log.size(); ++cut) {
        apply(file, r.log[cut]);
        if (cut % 11 == 0) {
            check_remains(*bytes, r, cut + 1);
        }
    }
    check_remains(*bytes, r, r.log.size());
}

TEST_CASE("qcow2 crash: with writes between flushes lost at random, the same holds")
{
    const bool packed = GENERATE(false, true);
    const Recording r = record(small_clusters(), 2, packed);
    auto stable = std::make_shared<std::vector<u8>>(r.start);
    MemorySource file{stable};
    std::vector<std::size_t> pending;
    std::mt19937 random{3};
    int cuts = 0;
    for (std::size_t i = 0; i < r.log.size(); ++i) {
        pending.push_back(i);
        const bool is_flush = r.log[i].kind == Event::Kind::flush;
        for (u32 trial = 0;
             trial < (pending.size() < 5 ? 5 : 2) && (is_flush || random() % 97 == 0); ++trial) {
            auto left = std::make_shared<std::vector<u8>>(*stable);
            MemorySource remains{left};
            for (const std::size_t p : pending) {
                if (random() % 2 == 0) {
                    apply(remains, r.log[p]);
                }
            }
            // What was flushed at a cut is what the last whole flush had.
            check_remains(*left, r, pending.front());
            ++cuts;
        }
        if (r.log[i].kind == Event::Kind::flush) {
            for (const std::size_t p : pending) {
                apply(file, r.log[p]);
            }
            pending.clear();
        }
    }
    CHECK(cuts > 100);
}
