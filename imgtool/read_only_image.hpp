// What image formats that are only read have in common.
#pragma once

#include "imgtool/image.hpp"

namespace img {

class ReadOnlyImage : public Image {
public:
    explicit ReadOnlyImage(std::unique_ptr<ByteSource> file) : file_{std::move(file)} {}

    ByteSource& file() override { return *file_; }
    Result<Placement> place(GuestOffset, u64) override { return refusal(); }
    Status publish(const Placement&) override { return refusal(); }
    void abandon(const Placement&) override {}
    Result<u64> place_zeroes(GuestOffset, u64) override { return refusal(); }
    Status flush() override { return base::ok(); }

    /// Error when `file` was opened to be written, for the format's open().
    static Status check_access(const ByteSource& file)
    {
        return file.read_only() ? base::ok() : Status{refusal()};
    }

private:
    static base::Error refusal()
    {
        return base::fail(base::Errc::unsupported, "Image is read-only");
    }

    std::unique_ptr<ByteSource> file_;
};

} // namespace img
