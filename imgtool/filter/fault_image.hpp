// An image with faults: blkdebug over a format.
#pragma once

#include "imgtool/image.hpp"
#include "imgtool/source/fault.hpp"

namespace img {

/// Faults of "block-status" show where the map is asked for exactly, those of "read" where it is
/// asked for in order to read. What formats can do beyond a disk's contents is left out.
class FaultImage final : public Image {
public:
    FaultImage(std::unique_ptr<Image> image, Faults faults)
        : image_{std::move(image)}, faults_{std::move(faults)}
    {}

    u64 size() const override { return image_->size(); }
    ByteSource& file() override { return image_->file(); }

    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override
    {
        const auto access =
            detail == MapDetail::exact ? Faults::Access::status : Faults::Access::read;
        if (access == Faults::Access::read) {
            faults_.happen(DebugEvent::read_data);
        }
        limit = std::min(limit, size() - std::min(size(), from.bytes));
        auto extent = image_->map(from, faults_.good_before(access, from.bytes, limit), detail);
        if (!extent) {
            return extent;
        }
        if (auto good = faults_.check(access, from.bytes, extent.value().length); !good) {
            return std::move(good).error();
        }
        return extent;
    }
    bool extents_can_be_read() const override { return false; }
    Result<Placement> place(GuestOffset from, u64 length) override
    {
        faults_.happen(DebugEvent::write_data);
        if (auto good = faults_.check(Faults::Access::write, from.bytes, length); !good) {
            return std::move(good).error();
        }
        return image_->place(from, length);
    }
    Status publish(const Placement& placement) override { return image_->publish(placement); }
    void abandon(const Placement& placement) override { image_->abandon(placement); }
    Result<u64> place_zeroes(GuestOffset from, u64 length) override
    {
        if (auto good = faults_.check(Faults::Access::zero, from.bytes, length); !good) {
            return std::move(good).error();
        }
        return image_->place_zeroes(from, length);
    }
    Status flush() override
    {
        faults_.happen(DebugEvent::flush_to_disk);
        auto good = faults_.check(Faults::Access::flush, 0, 0);
        return good ? image_->flush() : good;
    }
    u64 allocated() override { return ByteSource::kUnknown; }
    ImageInfo info() override
    {
        ImageInfo all = image_->info();
        ImageInfo info{.format = "blkdebug", .size = all.size, .cluster_size = all.cluster_size};
        info.backing_name = all.backing_name;
        info.backing_format = all.backing_format;
        return info;
    }

private:
    std::unique_ptr<Image> image_;
    Faults faults_;
};

} // namespace img
