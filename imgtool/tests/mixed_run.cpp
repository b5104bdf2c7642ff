// Random work on an image of any format, written down.
#include "imgtool/bitmap.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <set>

namespace img::test {

namespace {

constexpr int kSessions = 3; // times that the image is opened

/// A run of random things done to a disk, with a copy of what it holds.
class MixedRun {
public:
    MixedRun(Recording& recording, u32 seed) : recording_{recording}, random_{seed} {}

    void open(ChainDisk& disk)
    {
        disk_ = &disk;
        image_ = disk.layers().front().image.get();
        const auto packing = image_->packing();
        packs_always_ = packing && packing->always;
        if (mirror_.empty()) {
            mirror_ = read_all(disk);
        } else {
            REQUIRE((read_all(disk) == mirror_));
        }
    }
    void step()
    {
        using Action = void (MixedRun::*)();
        constexpr std::array<Action, 20> kActions{
            &MixedRun::write,        &MixedRun::write,      &MixedRun::write,
            &MixedRun::write,        &MixedRun::write,      &MixedRun::write,
            &MixedRun::rewrite,      &MixedRun::rewrite,    &MixedRun::zero,
            &MixedRun::zero,         &MixedRun::own_zeroes, &MixedRun::pack,
            &MixedRun::pack,         &MixedRun::flush,      &MixedRun::flush,
            &MixedRun::resize,       &MixedRun::resize,     &MixedRun::use_snapshot,
            &MixedRun::use_snapshot, &MixedRun::use_bitmap};
        (this->*kActions[random_() % kActions.size()])();
    }
    void flush()
    {
        REQUIRE(disk_->flush());
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
        if (packs_always_) {
            return pack();
        }
        last_ = at;
        const std::vector<u8> bytes = noise(std::min(length, mirror_.size() - at), random_());
        note(at, bytes);
        REQUIRE(disk_->write(at, bytes));
    }
    void write() { put(below(mirror_.size()), 1 + below(below(4) == 0 ? 60'000 : 9000)); }
    void rewrite() { put(std::min<u64>(last_ + below(3000), mirror_.size() - 1), 700); }
    void zero() { zero_with(&ChainDisk::write_zeroes); }
    void own_zeroes() { zero_with(&ChainDisk::write_own_zeroes); }
    void zero_with(Status (ChainDisk::*how)(u64 offset, u64 length))
    {
        if (packs_always_) {
            return pack();
        }
        const u64 at = below(mirror_.size()) & ~u64{511};
        const u64 most = below(3) == 0 ? mirror_.size() : 60'000;
        const u64 length = std::min<u64>(512 + below(most), mirror_.size() - at);
        note(at, std::vector<u8>(length));
        REQUIRE((disk_->*how)(at, length));
    }
    void pack()
    {
        const auto packing = image_->packing();
        if (!packing) {
            return write();
        }
        const u64 block = packing->block_size;
        const u64 at = below(mirror_.size() / block) * block;
        std::vector<u8> bytes(block, static_cast<u8>(random_()));
        std::ranges::copy(noise(block / 8, random_()), bytes.begin());
        std::vector<u8> packed(block - 1);
        const std::size_t n = Packer{packing->codec}.pack(bytes, packed);
        if (at + block > mirror_.size() || n == 0 ||
            (packs_always_ && !packed_.insert(at).second)) {
            return packs_always_ ? flush() : write();
        }
        note(at, bytes);
        const auto done = image_->write_packed(GuestOffset{at}, std::span{packed}.first(n));
        if (!done) { // not together with encryption and the like
            REQUIRE(done.error().code == base::Errc::unsupported);
            REQUIRE(disk_->write(at, bytes));
        }
    }
    /// Mostly longer by a little; now and then by much, or shorter.
    void resize()
    {
        const u64 old = mirror_.size();
        const u64 kind = below(5);
        const u64 size = kind == 0   ? std::max<u64>(old / 2, 65536) & ~u64{511}
                         : kind == 1 ? old + (100 << 10)
                                     : old + 512 * (1 + below(20));
        if (size < old) { // what is cut off may be gone at once
            recording_.changes.push_back(
                {recording_.log.size(), size, std::vector<u8>(old - size)});
        }
        recording_.changes.push_back({.when = recording_.log.size(), .size = size});
        const bool prepared = size > old && below(4) == 0 && image_->info().cluster_size != 0;
        auto done = disk_->resize(size, prepared ? Preallocate::metadata : Preallocate::none);
        if (done) {
            mirror_.resize(size);
        } else {
            recording_.changes.pop_back();
            REQUIRE(done.error().code == base::Errc::unsupported);
        }
    }
    /// Takes one, goes back to it, or gives it up.
    void use_snapshot()
    {
        const auto all = image_->info().snapshots;
        if (all.empty()) {
            auto taken = image_->create_snapshot("a", {});
            if (!taken) {
                REQUIRE(taken.error().code == base::Errc::unsupported);
                return write();
            }
            snapshot_ = mirror_;
        } else if (random_() % 2 == 0) {
            REQUIRE(image_->delete_snapshot("a"));
        } else {
            apply_snapshot();
        }
    }
    void apply_snapshot()
    {
        const std::size_t before = recording_.changes.size();
        const u64 size = std::max(snapshot_.size(), mirror_.size());
        DiskChange change{recording_.log.size(), 0, snapshot_};
        change.bytes.resize(size);
        change.size = snapshot_.size();
        recording_.changes.push_back(std::move(change));
        auto applied = image_->apply_snapshot("a");
        if (applied) {
            mirror_ = snapshot_;
        } else {
            recording_.changes.resize(before);
            REQUIRE(applied.error().code == base::Errc::unsupported);
        }
    }
    /// Begins one, which is marked from then on, or gives up the last.
    void use_bitmap()
    {
        BitmapStore* store = image_->bitmaps();
        if (store == nullptr || !store->can_add()) {
            return write();
        }
        if (!bitmap_.empty()) {
            REQUIRE(store->remove(std::exchange(bitmap_, "")));
            return;
        }
        bitmap_ = "b" + std::to_string(recording_.bitmap_bases.size());
        recording_.bitmap_bases[bitmap_] = mirror_;
        REQUIRE(store->add(bitmap_, 512u << below(5), true));
    }

    ChainDisk* disk_ = nullptr;
    Image* image_ = nullptr;
    Recording& recording_;
    std::mt19937 random_;
    std::vector<u8> mirror_;
    std::vector<u8> snapshot_;
    std::string bitmap_; // the one that is there; empty: none
    u64 last_ = 0;       // where the last write was
    bool packs_always_ = false;
    std::set<u64> packed_; // blocks that cannot be written again
};

} // namespace

Recording record_mixed(const CrashSubject& subject, const MemoryFiles& start, int steps, u32 seed)
{
    Recording r;
    static_cast<CrashSubject&>(r) = subject;
    r.start = MemoryFiles{start};
    RecordedFiles files{r};
    MixedRun run{r, seed};
    for (int session = 0; session < kSessions; ++session) {
        const auto disk = open_subject(r, files.open(kImageFile), files.opener());
        run.open(*disk);
        run.flush();
        for (int i = 0; i < steps / kSessions; ++i) {
            run.step();
        }
    }
    return r;
}

} // namespace img::test
