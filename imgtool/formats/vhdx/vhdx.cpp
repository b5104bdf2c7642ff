// The driver of VHDX images, and new ones.
#include "imgtool/formats/vhdx/vhdx.hpp"

#include "imgtool/formats/vhdx/vhdx_image.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <string_view>

namespace img::vhdx {

namespace {

using base::Errc;
using base::fail;

constexpr std::string_view kSignature = "vhdxfile";
constexpr std::u16string_view kCreator = u"Menagerie imgtool";

Probe probe(std::span<const u8> start, std::string_view)
{
    return start.size() >= kSignature.size() &&
                   std::ranges::equal(start.first(kSignature.size()), kSignature)
               ? Probe::certain
               : Probe::no;
}

using Type = CreateOption::Type;
constexpr std::array kCreateOptions{
    CreateOption{"size", Type::size, "Virtual disk size; max of 64TB."},
    CreateOption{"log_size", Type::size, "Log size; min 1MB.", "1048576"},
    CreateOption{"block_size", Type::size,
                 "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.",
                 "0"},
    CreateOption{"subformat", Type::text,
                 "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'."},
    CreateOption{"block_state_zero", Type::boolean,
                 "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not "
                 "set to 'off' when using 'qemu-img convert' with subformat=dynamic."},
};

struct Parameters {
    u64 size = 0; // bytes
    u64 log_size = kMiB;
    u64 block_size = 0; // 0: by the disk's size
    bool fixed = false;
    bool zero_state = true;
};

u64 round_up(u64 bytes)
{
    return (bytes + kMiB - 1) / kMiB * kMiB;
}

/// Larger disks have larger blocks, so that their tables stay small.
u64 block_size_for(u64 size)
{
    constexpr u64 kGiB = u64{1} << 30;
    return size > 32 * 1024 * kGiB ? 64 * kMiB
           : size > 100 * kGiB     ? 32 * kMiB
           : size > kGiB           ? 16 * kMiB
                                   : 8 * kMiB;
}

Status complete(Parameters& p)
{
    if (p.size > kMaxDiskSize) {
        return fail(Errc::invalid_argument, "Image size too large; max of 64TB");
    }
    p.size = (p.size + 511) / 512 * 512;
    if (p.log_size == 0) {
        return fail(Errc::invalid_argument, "Log size must be a multiple of 1 MB");
    }
    if (p.log_size > (u64{1} << 32) - kMiB) {
        return fail(Errc::invalid_argument, "Log size must be smaller than 4 GB");
    }
    p.log_size = round_up(p.log_size);
    if (p.block_size == 0) {
        p.block_size = block_size_for(p.size);
    }
    p.block_size = std::min(round_up(std::min(p.block_size, kMaxBlockSize)), kMaxBlockSize);
    if (!std::has_single_bit(p.block_size)) {
        return fail(Errc::invalid_argument, "Block size must be a power of two");
    }
    return base::ok();
}

Result<Parameters> parse(const CreateSettings& settings)
{
    Parameters p;
    for (const auto& [name, value] : settings) {
        const u64 number = std::strtoull(value.c_str(), nullptr, 10); // checked when completed
        if (name == "size") {
            p.size = number;
        } else if (name == "log_size") {
            p.log_size = number;
        } else if (name == "block_size") {
            p.block_size = number;
        } else if (name == "block_state_zero") {
            p.zero_state = value == "on";
        } else if (name == "subformat") {
            p.fixed = value == "fixed";
            if (!p.fixed && value != "dynamic") {
                return fail(Errc::invalid_argument,
                            fmt::format("Parameter 'subformat' does not accept value '{}'", value));
            }
        }
    }
    if (auto good = complete(p); !good) {
        return std::move(good).error();
    }
    return p;
}

Status check_settings(const CreateSettings& settings)
{
    auto parsed = parse(settings);
    return parsed ? base::ok() : Status{std::move(parsed).error()};
}

/// The BAT: of a fixed disk, all blocks from `data` on side by side; else none.
Status write_table(ByteSource& file, const Parameters& p, const DiskParameters& disk,
                   const Region& bat, u64 data)
{
    if (!p.fixed && !p.zero_state) {
        return base::ok(); // a hole: blocks that are not present
    }
    std::vector<u8> piece(u64{32} << 10);
    u64 filled = 0;
    u64 at = bat.at;
    const u64 per_chunk = disk.chunk_ratio() + 1;
    for (u64 index = 0; index < disk.bat_entries(); ++index) {
        const bool bitmap = index % per_chunk == disk.chunk_ratio();
        const u64 block = index - index / per_chunk;
        const u64 entry =
            bitmap    ? 0
            : p.fixed ? encode_entry(BlockState::fully_present, data + block * disk.block_size)
                      : encode_entry(BlockState::zero, 0);
        base::store_le<u64>(piece, filled, entry);
        filled += sizeof(u64);
        if (filled == piece.size() || index + 1 == disk.bat_entries()) {
            if (auto done = file.write(FileOffset{at}, std::span{piece}.first(filled)); !done) {
                return done;
            }
            at += filled;
            filled = 0;
        }
    }
    return base::ok();
}

Status write_headers(ByteSource& file, const Parameters& p, const Regions& regions,
                     const Identity& identity)
{
    Header header{.file_write_guid = identity.uuid(),
                  .data_write_guid = identity.uuid(),
                  .log_length = static_cast<u32>(p.log_size),
                  .log_offset = kMiB};
    for (const u64 at : kHeaderAt) {
        ++header.sequence;
        if (auto done = file.write(FileOffset{at}, encode_header(header)); !done) {
            return done;
        }
    }
    const std::vector<u8> table = encode_regions(regions);
    for (const u64 at : kRegionsAt) {
        if (auto done = file.write(FileOffset{at}, table); !done) {
            return done;
        }
    }
    std::array<u8, 512> identifier{}; // MS-VHDX 2.2.1, "File Type Identifier"
    std::ranges::copy(kSignature, identifier.begin());
    for (std::size_t i = 0; i < kCreator.size(); ++i) {
        base::store_le<base::u16>(identifier, kSignature.size() + 2 * i, kCreator[i]);
    }
    // It comes last: until then the file is not an image.
    return file.write(FileOffset{0}, identifier);
}

Status create(ByteSource& file, const CreateSettings& settings, CreateContext& context)
{
    auto parsed = parse(settings);
    if (!parsed) {
        return std::move(parsed).error();
    }
    const Parameters& p = parsed.value();
    const DiskParameters disk{.block_size = static_cast<u32>(p.block_size),
                              .leave_allocated = p.fixed,
                              .size = p.size,
                              .page_83 = context.identity->uuid()};
    const u64 bat_length = std::max(kMiB, round_up(disk.bat_entries() * sizeof(u64)));
    const Regions regions{.bat = {kMiB + p.log_size, bat_length},
                          .metadata = {kMiB + p.log_size + bat_length, kMiB}};
    const u64 data = regions.metadata.end();
    if (auto done = file.resize(data + (p.fixed ? disk.blocks() * p.block_size : 0)); !done) {
        return done;
    }
    if (auto done = write_table(file, p, disk, regions.bat, data); !done) {
        return done;
    }
    if (auto done = file.write(FileOffset{regions.metadata.at}, encode_metadata(disk)); !done) {
        return done;
    }
    return write_headers(file, p, regions, *context.identity);
}

} // namespace

const FormatDriver kDriver{
    .name = "vhdx",
    .probe = probe,
    .open = VhdxImage::open,
    .check_settings = check_settings,
    .create = create,
    .create_options = kCreateOptions,
    .packs = false,
};

} // namespace img::vhdx
