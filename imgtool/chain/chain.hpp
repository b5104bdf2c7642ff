// An image and its backing files as one disk: reading through, copy-on-write, decompression.
// Written once for all formats.
#pragma once

#include "imgtool/chain/extent_reader.hpp"
#include "imgtool/disk.hpp"
#include "imgtool/image.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace img {

namespace node {
struct NodeName; // imgtool/node/node.hpp
}

/// One image of a chain.
struct Layer {
    std::unique_ptr<Image> image;
    std::string path; // as it is shown: a file's, "nbd://...", or "json:{...}"
    std::string format;
    bool probed = false; // nobody said what the format is
    /// The file whose folder relative names in the image are taken from; none: that cannot be said.
    std::optional<std::string> origin = {};
    /// What it is called as a node; null for a plain file.
    std::shared_ptr<const node::NodeName> node = {};
    /// Why the next layer may not be read through this one; empty: it may.
    std::string broken_link = {};
};

class ChainDisk final : public Disk {
public:
    /// `layers` goes from the active image down to its last backing file; at least one.
    ChainDisk(std::vector<Layer> layers, bool read_only);

    u64 size() const override { return layers_.front().image->size(); }
    bool read_only() const override { return read_only_; }
    Status read(u64 offset, std::span<u8> into) override;
    Status write(u64 offset, std::span<const u8> from) override;
    Status write_zeroes(u64 offset, u64 length) override;
    /// Zeroes that are the top image's own, so that no other backing file changes what is read.
    /// They take storage where the format has no other way.
    Status write_own_zeroes(u64 offset, u64 length);
    Status flush() override;
    Status visit_written(const std::function<Status(u64 offset, u64 length)>& visit) override;

    std::vector<Layer>& layers() { return layers_; }

    /// Makes the disk longer or shorter (Image::resize).
    Status resize(u64 size, Preallocate how);
    /// What has to be done before the top image alone is resized (by amend).
    Status prepare_resize(u64 size);

    /// What holds bytes of the disk, all layers considered.
    struct Found {
        Extent extent;     // of kind `backing` only for bytes that no layer has: they are zero
        std::size_t depth; // the layer that says so
    };
    Result<Found> find(u64 offset, u64 limit, MapDetail detail);

private:
    Status check_range(u64 offset, u64 length) const;
    Status read_found(const Found& found, u64 offset, std::span<u8> into)
    {
        return reader_.read(*layers_[found.depth].image, found.extent, offset, into);
    }
    ByteSource& file_of(const Placement& at);
    Status write_there(const Placement& placement, std::span<const u8> from);
    Status write_fresh(const Placement& placement, std::span<const u8> from);
    Status write_fresh_sealed(const Placement& placement, std::span<const u8> from);
    Status fill(const Placement& placement, u64 begin, u64 end);
    Status check_disguise(u64 offset, std::span<const u8> from);

    std::vector<Layer> layers_;
    bool read_only_;
    ExtentReader reader_;
};

} // namespace img
