// A VMDK disk: a descriptor and the extents it names.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/formats/vmdk/descriptor.hpp"
#include "imgtool/formats/vmdk/sparse_extent.hpp"
#include "imgtool/further_files.hpp"

#include <memory>
#include <vector>

namespace img::vmdk {

/// Where a descriptor is in its file, and its text.
struct DescriptorText {
    u64 at = 0;   // bytes
    u64 room = 0; // bytes that it may take
    std::string text;
};

/// Finds the descriptor in any VMDK file: in a sparse extent, or the file itself.
/// Errors: `wrong_format`, `corrupt`.
Result<DescriptorText> read_descriptor(ByteSource& file);

class VmdkImage final : public Image, public FurtherFiles {
public:
    static Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context);
    ~VmdkImage() override;

    u64 size() const override { return size_; }
    ByteSource& file() override { return *file_; }
    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override;
    Result<Placement> place(GuestOffset from, u64 length) override;
    Status publish(const Placement& placement) override;
    void abandon(const Placement& placement) override;
    Result<u64> place_zeroes(GuestOffset from, u64 length) override;
    std::optional<Packing> packing() const override;
    Status write_packed(GuestOffset block, std::span<const u8> packed) override;
    Status flush() override;
    ImageInfo info() override;
    u64 allocated() override;
    Status check_backing(Image& backing) override;
    Result<CheckReport> check(Repair repair, const ProblemSink& problem) override;

    std::vector<std::pair<std::string, const ByteSource*>> further_files() const override;

    u32 cid() const { return descriptor_.cid; }

private:
    /// A piece of the disk. Flat when it has a file and is not sparse; without a file, zeroes.
    struct Part {
        u64 start = 0; // on the disk
        u64 length = 0;
        std::string type = {}; // as the descriptor names it
        bool writable = true;
        std::unique_ptr<ByteSource> own = {}; // null when it is in the descriptor's file
        ByteSource* file = nullptr;
        u64 flat_at = 0; // bytes, in the file
        std::unique_ptr<SparseExtent> sparse = {};

        u64 end() const { return start + length; }
    };

    VmdkImage(std::unique_ptr<ByteSource> file, const Identity& identity)
        : file_{std::move(file)}, identity_{identity}
    {}

    Status open_parts(const std::vector<ExtentLine>& lines, OpenContext& context);
    Status open_described(OpenContext& context);
    Status open_sparse();
    Status add_part(Part part);
    bool has_backing() const { return !descriptor_.parent_name.empty(); }
    Part& part_at(u64 offset);
    const SparseExtent* only_sparse() const;
    u64 common_grain() const;
    Status prepare_write(const Part& part);
    Result<Extent> map_flat(const Part& part, u64 within, u64 limit, MapDetail detail);

    std::unique_ptr<ByteSource> file_;
    const Identity& identity_;
    DescriptorText text_;
    Descriptor descriptor_;
    std::string type_; // "create type"
    std::vector<Part> parts_;
    u64 size_ = 0;        // bytes
    bool marked_ = false; // has a new CID, because it was written to
};

} // namespace img::vmdk
