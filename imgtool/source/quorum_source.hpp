// Several files that hold the same bytes; a read counts when enough of them agree (QEMU's driver
// "quorum").
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <memory>
#include <vector>

namespace img {

class QuorumSource final : public ByteSource {
public:
    /// `threshold`, at least 1 and at most the number of `files`: how many must agree.
    QuorumSource(std::vector<std::unique_ptr<ByteSource>> files, std::size_t threshold)
        : files_{std::move(files)}, threshold_{threshold}
    {}

    const std::string& name() const override { return name_; }
    u64 size() const override { return files_.front()->size(); }
    bool read_only() const override { return true; }
    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override { return base::ok(); }
    Result<Run> run_at(FileOffset at) override
    {
        return Run{.data = true, .length = size() - at.bytes};
    }
    u64 allocated() const override;

private:
    std::string name_ = "quorum";
    std::vector<std::unique_ptr<ByteSource>> files_;
    std::size_t threshold_;
};

} // namespace img
