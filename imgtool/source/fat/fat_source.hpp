// A host folder as a disk with a FAT volume, read-only (QEMU's driver "vvfat").
#pragma once

#include "imgtool/source/byte_source.hpp"
#include "imgtool/source/fat/volume.hpp"

#include <memory>
#include <string>

namespace img::fat {

class FatSource final : public ByteSource {
public:
    static Result<std::unique_ptr<FatSource>> open(const std::string& folder,
                                                   const Parameters& parameters);

    ~FatSource() override;
    FatSource(const FatSource&) = delete;
    FatSource& operator=(const FatSource&) = delete;

    const std::string& name() const override { return root_->path; }
    u64 size() const override { return volume_.size; }
    bool read_only() const override { return true; }
    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override { return base::ok(); }
    Result<Run> run_at(FileOffset at) override;
    u64 allocated() const override { return kUnknown; }

private:
    FatSource(std::unique_ptr<Entry> root, Volume volume)
        : root_{std::move(root)}, volume_{std::move(volume)}
    {}

    /// The first piece that ends after `at`; the end when there is none.
    std::vector<Piece>::const_iterator piece_after(u64 at) const;
    Status read_file(const Entry& file, u64 at, std::span<u8> into);
    void close_file();

    std::unique_ptr<Entry> root_;
    Volume volume_;
    const Entry* open_ = nullptr; // the file that is open
    int fd_ = -1;
};

} // namespace img::fat
