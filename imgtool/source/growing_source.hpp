// A file of its own in a source that has a fixed size, such as a device: what lies behind the
// file's end does not show, and is zero by the time that it does.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <functional>

namespace img {

class GrowingSource final : public ByteSource {
public:
    /// The first `end` bytes of `below`, which must outlive this object.
    GrowingSource(ByteSource& below, u64 end) : below_{below}, end_{end} {}

    const std::string& name() const override { return below_.name(); }
    u64 size() const override { return end_; }
    bool read_only() const override { return below_.read_only(); }
    bool concurrent() const override { return below_.concurrent(); }
    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override;
    Status reserve(FileOffset at, u64 length) override;
    Status flush() override { return below_.flush(); }
    Result<Run> run_at(FileOffset at) override;
    void announce(DebugEvent event) override { below_.announce(event); }
    u64 allocated() const override { return below_.allocated(); }

private:
    Status grow_to(u64 end);
    Status check_room(FileOffset at, u64 length) const;

    ByteSource& below_;
    u64 end_; // bytes
};

/// Has `make` make an image in `file`, which it sees empty even where the file cannot be emptied.
Status make_in_empty(ByteSource& file, const std::function<Status(ByteSource& empty)>& make);

} // namespace img
