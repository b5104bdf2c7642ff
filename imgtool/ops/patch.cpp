#include "imgtool/ops/patch.hpp"

#include "imgtool/ops/block_walk.hpp"

#include <algorithm>

namespace img {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kCopyBlock = u64{64} << 10; // bytes: zero blocks of this size stay holes

class Copier final : public BlockWorker {
public:
    explicit Copier(ChainDisk& target) : target_{target} {}

    Status work(u64, std::span<const u8> bytes) override
    {
        bytes_ = bytes;
        return base::ok();
    }
    Status pass(u64 offset, u64 length, bool zero) override
    {
        if (zero || offset >= target_.size()) {
            return base::ok();
        }
        return target_.write(offset, bytes_.first(std::min(length, target_.size() - offset)));
    }

private:
    ChainDisk& target_;
    std::span<const u8> bytes_;
};

Status apply_records(DeltaReader& delta, ChainDisk& target, const PatchProgress& progress)
{
    std::vector<u8> bytes;
    for (;;) {
        auto next = delta.next();
        if (!next) {
            return std::move(next).error();
        }
        if (!next.value()) {
            return base::ok();
        }
        const DeltaRecord& record = *next.value();
        Status done = base::ok();
        if (record.kind == DeltaRecord::Kind::zero) {
            done = target.write_zeroes(record.offset, record.length);
        } else {
            done = delta.read(record, bytes);
            if (done) {
                done = target.write(record.offset, bytes);
            }
        }
        if (!done) {
            return done;
        }
        if (progress && !progress(record.offset + record.length, target.size())) {
            return fail(Errc::invalid_argument, "interrupted");
        }
    }
}

} // namespace

Status check_base(ChainDisk& disk, const DeltaHeader& header, const PatchProgress& progress)
{
    if (disk.size() != header.old_size) {
        return fail(Errc::invalid_argument, "the delta was made from another disk: one of " +
                                                std::to_string(header.old_size) +
                                                " bytes, and this one has " +
                                                std::to_string(disk.size()));
    }
    auto hash = tree_hash(disk, {.block_size = header.block_size, .progress = progress});
    if (!hash) {
        return std::move(hash).error();
    }
    return hash.value() == header.old_hash
               ? base::ok()
               : Status{fail(Errc::invalid_argument,
                             "the delta was made from another disk: one with the digest " +
                                 header.old_hash.hex() + ", and this one has " +
                                 hash.value().hex())};
}

Status copy_disk(ChainDisk& disk, ChainDisk& target, const PatchProgress& progress)
{
    return walk_blocks(disk,
                       {.block_size = kCopyBlock,
                        .progress = progress,
                        .make_worker = [&]() -> Result<std::unique_ptr<BlockWorker>> {
                            return std::unique_ptr<BlockWorker>{std::make_unique<Copier>(target)};
                        }});
}

Status apply_delta(DeltaReader& delta, ChainDisk& target, const PatchProgress& progress)
{
    const DeltaHeader& header = delta.header();
    if (target.size() != header.new_size) {
        return fail(Errc::unsupported, "this image format cannot have a disk of exactly " +
                                           std::to_string(header.new_size) + " bytes");
    }
    if (auto applied = apply_records(delta, target, progress); !applied) {
        return applied;
    }
    if (auto flushed = target.flush(); !flushed) {
        return flushed;
    }
    auto hash = tree_hash(target, {.block_size = header.block_size});
    if (!hash) {
        return std::move(hash).error();
    }
    return hash.value() == header.new_hash
               ? base::ok()
               : Status{fail(Errc::corrupt, "the outcome is not the disk that the delta leads to")};
}

} // namespace img
