#include "imgtool/tests/crash.hpp"

#include "imgtool/filter/compression.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <random>

namespace img::test {

namespace {

/// Memory that writes down all that is done to it.
class RecordingSource final : public ByteSource {
public:
    RecordingSource(std::vector<u8> bytes, std::vector<FileEvent>& log)
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
        log_.push_back({FileEvent::Kind::write, at.bytes, from.size(), {from.begin(), from.end()}});
        return memory_.write(at, from);
    }
    Status zero(FileOffset at, u64 length) override
    {
        log_.push_back({FileEvent::Kind::zero, at.bytes, length});
        return memory_.zero(at, length);
    }
    Status reserve(FileOffset at, u64 length) override { return zero(at, length); }
    Status resize(u64 size) override
    {
        log_.push_back({FileEvent::Kind::resize, 0, size});
        return memory_.resize(size);
    }
    Status flush() override
    {
        log_.push_back({FileEvent::Kind::flush});
        return base::ok();
    }

private:
    MemorySource memory_;
    std::vector<FileEvent>& log_;
};

void apply(MemorySource& file, const FileEvent& event)
{
    switch (event.kind) {
    case FileEvent::Kind::write:
        REQUIRE(file.write(FileOffset{event.at}, event.bytes));
        return;
    case FileEvent::Kind::zero:
        REQUIRE(file.zero(FileOffset{event.at}, event.length));
        return;
    case FileEvent::Kind::resize:
        REQUIRE(file.resize(event.length));
        return;
    case FileEvent::Kind::flush:
        return;
    }
}

/// The image must be sound but for leaks, and hold all that had been flushed when the log was `cut`
/// long. Of what was logged from then to `cut_end` it may have any part.
void check_remains(const std::vector<u8>& bytes, const Recording& r, std::size_t cut,
                   std::size_t cut_end)
{
    INFO(r.driver->name << " cut at " << cut);
    const auto file = std::make_shared<std::vector<u8>>(bytes);
    const auto open = [&] {
        return need(open_alone(*r.driver, std::make_unique<MemorySource>(file), OpenFor::check));
    };
    if (r.mended) {
        REQUIRE(open()->check(Repair::all, [](const std::string&) {}));
    }
    auto image = open();
    std::string problems;
    const auto report =
        image->check(Repair::none, [&](const std::string& problem) { problems += problem + "\n"; });
    INFO(problems);
    if (report || report.error().code != base::Errc::unsupported) {
        REQUIRE(report);
        REQUIRE(report.value().corruptions == 0);
    }
    const auto last = r.flushed.upper_bound(cut);
    if (last == r.flushed.begin()) {
        return;
    }
    std::vector<Layer> layers;
    layers.push_back(
        {.image = std::move(image), .path = "memory", .format = std::string{r.driver->name}});
    ChainDisk disk{std::move(layers), true};
    const std::vector<u8> now = read_all(disk);
    const std::vector<u8>& then = std::prev(last)->second;
    const bool once = r.changes.empty(); // each block is written once
    bool kept = then.empty() || now.size() == then.size() || (!once && now.size() > then.size());
    std::vector<bool> good(kept ? then.size() : 0);
    for (std::size_t i = 0; i < good.size(); ++i) {
        good[i] = then[i] == now[i] || (once && then[i] == 0);
    }
    for (const DiskChange& change : r.changes) {
        if (change.when >= std::prev(last)->first && change.when < cut_end) {
            for (std::size_t i = 0; i < change.bytes.size() && change.at + i < good.size(); ++i) {
                good[change.at + i] = good[change.at + i] || change.bytes[i] == now[change.at + i];
            }
        }
    }
    kept = kept && std::ranges::find(good, false) == good.end();
    REQUIRE(kept);
}

} // namespace

Recording record_run(const FormatDriver& driver, std::vector<u8> start,
                     const std::function<void(ChainDisk& disk, Recording& recording)>& run)
{
    Recording r{.driver = &driver, .start = std::move(start)};
    std::vector<Layer> layers;
    layers.push_back(
        {.image = need(open_alone(driver, std::make_unique<RecordingSource>(r.start, r.log))),
         .path = "memory",
         .format = std::string{driver.name}});
    ChainDisk disk{std::move(layers), false};
    run(disk, r);
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

namespace {

/// A run of random things done to a disk, with a copy of what it holds.
class MixedRun {
public:
    MixedRun(ChainDisk& disk, Recording& recording, u32 seed)
        : disk_{disk}, image_{*disk.layers().front().image},
          recording_{recording}, random_{seed}, mirror_{read_all(disk)}
    {}

    void step()
    {
        using Action = void (MixedRun::*)();
        constexpr std::array<Action, 16> kActions{
            &MixedRun::write, &MixedRun::write, &MixedRun::write,   &MixedRun::write,
            &MixedRun::write, &MixedRun::write, &MixedRun::rewrite, &MixedRun::rewrite,
            &MixedRun::zero,  &MixedRun::zero,  &MixedRun::pack,    &MixedRun::pack,
            &MixedRun::flush, &MixedRun::flush, &MixedRun::grow,    &MixedRun::use_snapshot};
        (this->*kActions[random_() % kActions.size()])();
    }
    void flush()
    {
        REQUIRE(disk_.flush());
        recording_.flushed[recording_.log.size()] = mirror_;
    }

private:
    u64 below(u64 limit) { return limit == 0 ? 0 : random_() % limit; }

    void note(u64 at, std::span<const u8> bytes)
    {
        recording_.changes.push_back(
            {recording_.log.size(), at, std::vector<u8>{bytes.begin(), bytes.end()}});
        std::ranges::copy(bytes, mirror_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    void put(u64 at, u64 length)
    {
        last_ = at;
        const std::vector<u8> bytes = noise(std::min(length, mirror_.size() - at), random_());
        note(at, bytes);
        REQUIRE(disk_.write(at, bytes));
    }
    void write() { put(below(mirror_.size()), 1 + below(9000)); }
    void rewrite() { put(std::min<u64>(last_ + below(3000), mirror_.size() - 1), 700); }
    void zero()
    {
        const u64 at = below(mirror_.size()) & ~u64{511};
        const u64 length = std::min<u64>(512 + below(60'000), mirror_.size() - at);
        note(at, std::vector<u8>(length));
        REQUIRE(disk_.write_zeroes(at, length));
    }
    void pack()
    {
        const auto packing = image_.packing();
        if (!packing) {
            return write();
        }
        const u64 block = packing->block_size;
        const u64 at = below(mirror_.size() / block) * block;
        const std::vector<u8> bytes(block, static_cast<u8>(random_()));
        std::vector<u8> packed(block - 1);
        const std::size_t n = Packer{packing->codec}.pack(bytes, packed);
        if (at + block > mirror_.size() || n == 0) {
            return write();
        }
        note(at, bytes);
        REQUIRE(image_.write_packed(GuestOffset{at}, std::span{packed}.first(n)));
    }
    void grow()
    {
        const u64 size = mirror_.size() + 512 * (1 + below(20));
        auto grown = image_.resize(size, Preallocate::none);
        if (grown) {
            mirror_.resize(size);
        } else {
            REQUIRE(grown.error().code == base::Errc::unsupported);
        }
    }
    /// Takes one, goes back to it, or gives it up.
    void use_snapshot()
    {
        const auto all = image_.info().snapshots;
        if (all.empty()) {
            auto taken = image_.create_snapshot("a", {});
            if (!taken) {
                REQUIRE(taken.error().code == base::Errc::unsupported);
                return;
            }
            snapshot_ = mirror_;
        } else if (random_() % 2 == 0) {
            REQUIRE(image_.delete_snapshot("a"));
        } else if (snapshot_.size() == mirror_.size()) { // a disk that shrinks is another test's
            note(0, snapshot_);
            REQUIRE(image_.apply_snapshot("a"));
        }
    }

    ChainDisk& disk_;
    Image& image_;
    Recording& recording_;
    std::mt19937 random_;
    std::vector<u8> mirror_;
    std::vector<u8> snapshot_;
    u64 last_ = 0; // where the last write was
};

} // namespace

Recording record_mixed(const FormatDriver& driver, std::vector<u8> start, int steps, u32 seed)
{
    return record_run(driver, std::move(start), [&](ChainDisk& disk, Recording& r) {
        MixedRun run{disk, r, seed};
        run.flush();
        for (int i = 0; i < steps; ++i) {
            run.step();
        }
    });
}

int check_prefixes(const Recording& r, std::size_t step)
{
    auto bytes = std::make_shared<std::vector<u8>>(r.start);
    MemorySource file{bytes};
    int cuts = 0;
    for (std::size_t cut = 0; cut < r.log.size(); ++cut) {
        apply(file, r.log[cut]);
        if (cut % step == 0 || cut + 1 == r.log.size()) {
            check_remains(*bytes, r, cut + 1, cut + 1);
            ++cuts;
        }
    }
    return cuts;
}

int check_losses(const Recording& r, u32 seed)
{
    auto stable = std::make_shared<std::vector<u8>>(r.start);
    MemorySource file{stable};
    std::vector<std::size_t> pending;
    std::mt19937 random{seed};
    int cuts = 0;
    for (std::size_t i = 0; i < r.log.size(); ++i) {
        pending.push_back(i);
        const bool is_flush = r.log[i].kind == FileEvent::Kind::flush;
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
            check_remains(*left, r, pending.front(), i + 1);
            ++cuts;
        }
        if (is_flush) {
            for (const std::size_t p : pending) {
                apply(file, r.log[p]);
            }
            pending.clear();
        }
    }
    return cuts;
}

} // namespace img::test
