#include "imgtool/formats/raw/raw.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>

namespace img::raw {

namespace {

using base::Errc;
using base::fail;

constexpr u64 kSectorSize = 512; // bytes; disks are made of whole sectors

u64 whole_sectors(u64 bytes)
{
    return (bytes + kSectorSize - 1) / kSectorSize * kSectorSize;
}

class RawImage final : public Image {
public:
    explicit RawImage(std::unique_ptr<ByteSource> file)
        : file_{std::move(file)}, size_{whole_sectors(file_->size())}
    {}
    /// A part of a file that begins at `start`; without `length`, it ends with the file.
    RawImage(std::unique_ptr<ByteSource> file, u64 start, std::optional<u64> length)
        : file_{std::move(file)}, start_{start},
          ends_with_file_{!length}, size_{whole_sectors(length.value_or(file_->size() - start))}
    {}

    u64 size() const override { return size_; }
    ByteSource& file() override { return *file_; }

    Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) override
    {
        if (from.bytes >= size_ || limit == 0) {
            return fail(Errc::invalid_argument, "offset beyond the end of the disk");
        }
        limit = std::min(limit, size_ - from.bytes);
        Extent extent{.kind = Extent::Kind::data, .length = limit, .at = {start_ + from.bytes}};
        if (start_ + from.bytes >= file_->size()) {
            extent.kind = Extent::Kind::zero; // the rest of the last sector
        } else if (detail == MapDetail::exact) {
            auto run = file_->run_at({start_ + from.bytes});
            if (!run) {
                return std::move(run).error();
            }
            extent.kind = run.value().data ? Extent::Kind::data : Extent::Kind::zero;
            extent.length = std::min(limit, run.value().length);
            extent.marked = run.value().marked;
        }
        extent.reserved = extent.kind == Extent::Kind::zero;
        return extent;
    }

    Result<Placement> place(GuestOffset from, u64 length) override
    {
        if (from.bytes >= size_ || length == 0) {
            return fail(Errc::invalid_argument, "offset beyond the end of the disk");
        }
        return Placement{.from = from,
                         .at = {start_ + from.bytes},
                         .length = std::min(length, size_ - from.bytes)};
    }
    Status publish(const Placement&) override { return base::ok(); }
    void abandon(const Placement&) override {}

    Result<u64> place_zeroes(GuestOffset from, u64 length) override
    {
        if (from.bytes >= size_) {
            return u64{0};
        }
        length = std::min(length, size_ - from.bytes);
        if (auto done = file_->zero({start_ + from.bytes}, length); !done) {
            return std::move(done).error();
        }
        return length;
    }

    Status resize(u64 size, Preallocate how) override
    {
        if (how == Preallocate::metadata) {
            return fail(Errc::invalid_argument, "Unsupported preallocation mode: metadata");
        }
        if (!ends_with_file_) {
            return fail(Errc::unsupported, "Cannot resize fixed-size raw disks");
        }
        if (size > static_cast<u64>(INT64_MAX) - start_) {
            return fail(Errc::invalid_argument, "Disk size too large for the chosen offset");
        }
        if (auto done = resize_to(*file_, start_ + size, how); !done) {
            return done;
        }
        size_ = whole_sectors(size);
        return base::ok();
    }

    Status flush() override { return file_->flush(); }
    bool is_zero_when_new() const override { return !file_->fixed_size(); }
    ImageInfo info() override { return {.format = "raw", .size = size_}; }

private:
    std::unique_ptr<ByteSource> file_;
    u64 start_ = 0; // of the disk in the file
    bool ends_with_file_ = true;
    u64 size_; // bytes
};

Probe probe(std::span<const u8>, std::string_view)
{
    return Probe::possible;
}

constexpr std::array kOpenOptions{
    CreateOption{"offset", CreateOption::Type::size, "Offset in the disk where the image starts"},
    CreateOption{"size", CreateOption::Type::size, "Virtual disk size"},
};

/// Opens the part of the file that "offset" and "size" say.
Result<std::unique_ptr<Image>> open_part(std::unique_ptr<ByteSource> file, OpenContext& context)
{
    const u64 file_size = file->size();
    u64 offset = 0;
    std::optional<u64> size;
    for (const auto& [name, value] : context.options) {
        const u64 number = std::strtoull(value.c_str(), nullptr, 10); // checked already
        if (name == "offset") {
            offset = number;
        } else if (name == "size") {
            size = number;
        }
    }
    if (offset > file_size) {
        return fail(Errc::invalid_argument,
                    fmt::format("Offset ({}) cannot be greater than size of the containing file "
                                "({})",
                                offset, file_size));
    }
    if (size && *size > file_size - offset) {
        return fail(Errc::invalid_argument,
                    fmt::format("The sum of offset ({}) and size ({}) has to be smaller or equal "
                                "to the  actual size of the containing file ({})",
                                offset, *size, file_size));
    }
    if (size && *size % kSectorSize != 0) {
        return fail(Errc::invalid_argument, "Specified size is not multiple of 512");
    }
    return std::unique_ptr<Image>{std::make_unique<RawImage>(std::move(file), offset, size)};
}

Result<std::unique_ptr<Image>> open(std::unique_ptr<ByteSource> file, OpenContext& context)
{
    if (!context.options.empty()) {
        return open_part(std::move(file), context);
    }
    return std::unique_ptr<Image>{std::make_unique<RawImage>(std::move(file))};
}

constexpr std::array kCreateOptions{
    CreateOption{"size", CreateOption::Type::size, "Virtual disk size"},
};

struct Parameters {
    u64 size = 0; // bytes
    Preallocate how = Preallocate::none;
};

Result<Parameters> parse(const CreateSettings& settings)
{
    Parameters p;
    for (const auto& [name, value] : settings) {
        if (name == "size") {
            p.size = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
        } else if (name == "preallocation") {
            p.how = value == "full"     ? Preallocate::write
                    : value == "falloc" ? Preallocate::reserve
                                        : Preallocate::none;
            if (value == "metadata") {
                return fail(Errc::invalid_argument, "Unsupported preallocation mode: metadata");
            }
            if (p.how == Preallocate::none && value != "off") {
                return fail(Errc::invalid_argument, "invalid parameter value: " + value);
            }
        }
    }
    return p;
}

Status check_settings(const CreateSettings& settings)
{
    auto parsed = parse(settings);
    return parsed ? base::ok() : Status{std::move(parsed).error()};
}

Status create(ByteSource& file, const CreateSettings& settings, CreateContext&)
{
    auto parsed = parse(settings);
    if (!parsed) {
        return std::move(parsed).error();
    }
    const auto [size, how] = parsed.value();
    return make_raw(file, whole_sectors(size), how);
}

Result<Measurement> measure(const CreateSettings&, const Content& content)
{
    const u64 size = (content.size + kSectorSize - 1) / kSectorSize * kSectorSize;
    return Measurement{.required = size, .fully_allocated = size};
}

} // namespace

const FormatDriver kDriver{
    .name = "raw",
    .probe = probe,
    .open = open,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .open_options = kOpenOptions,
    .has_backing = false,
    .measure = measure,
    .packs = false,
    .shows_old_bytes = true,
    .preallocates = true,
};

} // namespace img::raw
