// New VMDK images.
#include "base/endian.hpp"
#include "imgtool/formats/vmdk/descriptor.hpp"
#include "imgtool/formats/vmdk/layout.hpp"
#include "imgtool/formats/vmdk/vmdk.hpp"
#include "imgtool/formats/vmdk/vmdk_image.hpp"
#include "imgtool/source/growing_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::vmdk {

namespace {

using base::Errc;
using base::fail;
using Subformat = CreateParameters::Subformat;

constexpr u64 kTwoGb = u64{2} << 30;       // bytes of an extent of a split disk
constexpr u64 kDirectoryPiece = 16 * 1024; // entries written at once

std::string_view type_name(Subformat subformat)
{
    switch (subformat) {
    case Subformat::monolithic_sparse:
        return "monolithicSparse";
    case Subformat::monolithic_flat:
        return "monolithicFlat";
    case Subformat::two_gb_sparse:
        return "twoGbMaxExtentSparse";
    case Subformat::two_gb_flat:
        return "twoGbMaxExtentFlat";
    case Subformat::stream_optimized:
        return "streamOptimized";
    }
    return "";
}

base::Error too_large()
{
    return fail(Errc::invalid_argument, "The image size is too large for file format 'vmdk'");
}

u64 divide_up(u64 value, u64 by)
{
    return value / by + (value % by != 0);
}

/// Where header and tables of a new sparse extent go: header, descriptor, redundant directory and
/// tables, directory and tables.
Result<HostedHeader> lay_out(const CreateParameters& p, u64 size)
{
    const bool packed = p.subformat == Subformat::stream_optimized;
    HostedHeader h{.version = packed           ? 3u
                              : p.zeroed_grain ? 2u
                                               : 1u,
                   .capacity = size / kSector,
                   .compression = static_cast<u16>(packed ? 1 : 0)};
    h.flags |= packed ? flags::compressed | flags::markers : 0;
    h.flags |= p.zeroed_grain ? flags::zero_grain : 0;
    const u64 table_sectors = kMaxTableEntries * sizeof(u32) / kSector;
    const u64 tables = divide_up(h.capacity, h.grain * h.table_entries);
    const u64 directory_sectors = divide_up(tables * sizeof(u32), kSector);
    h.redundant_directory = kDescriptorAt + kDescriptorSectors;
    h.directory = h.redundant_directory + directory_sectors + tables * table_sectors;
    const u64 end = h.directory + directory_sectors + tables * table_sectors;
    h.overhead = divide_up(end, h.grain) * h.grain;
    if (tables > kMaxDirectory || h.overhead >= kMaxSectors) {
        return too_large();
    }
    return h;
}

/// A directory whose tables follow it, all of them empty.
Status write_directory(ByteSource& file, const HostedHeader& h, u64 directory)
{
    const u64 table_sectors = h.table_entries * sizeof(u32) / kSector;
    const u64 tables = divide_up(h.capacity, h.grain * h.table_entries);
    const u64 first = directory + divide_up(tables * sizeof(u32), kSector);
    std::vector<u8> piece;
    for (u64 i = 0; i < tables; i += kDirectoryPiece) {
        const u64 count = std::min(kDirectoryPiece, tables - i);
        piece.resize(count * sizeof(u32));
        for (u64 k = 0; k < count; ++k) {
            base::store_le<u32>(piece, k * sizeof(u32),
                                static_cast<u32>(first + (i + k) * table_sectors));
        }
        if (auto done = file.write(FileOffset{directory * kSector + i * sizeof(u32)}, piece);
            !done) {
            return done;
        }
    }
    return base::ok();
}

/// `descriptor` is empty in an extent of several.
Status create_sparse(ByteSource& file, const CreateParameters& p, u64 size,
                     const std::string& descriptor)
{
    auto laid_out = lay_out(p, size);
    if (!laid_out) {
        return std::move(laid_out).error();
    }
    const HostedHeader& h = laid_out.value();
    if (descriptor.size() > kDescriptorSectors * kSector) {
        return fail(Errc::invalid_argument, "the descriptor is too long");
    }
    if (auto done = file.resize(h.overhead * kSector); !done) {
        return done;
    }
    for (const u64 directory : {h.redundant_directory, h.directory}) {
        if (auto done = write_directory(file, h, directory); !done) {
            return done;
        }
    }
    const std::span<const u8> text{reinterpret_cast<const u8*>(descriptor.data()),
                                   descriptor.size()};
    if (auto done = file.write(FileOffset{kDescriptorAt * kSector}, text); !done) {
        return done;
    }
    // The header comes last: until then the file is not an image.
    return file.write(FileOffset{0}, encode_hosted(h));
}

/// The name of extent `number` (from 1) of the image `path`: "disk-f001.vmdk".
std::string extent_name(const CreateParameters& p, const std::string& path, u64 number)
{
    const std::string base = path.substr(path.find_last_of("/\\:") + 1);
    const std::size_t dot = std::min(base.rfind('.'), base.size());
    const std::string what = p.subformat == Subformat::monolithic_flat ? "flat"
                             : p.flat() ? fmt::format("f{:03}", number)
                                        : fmt::format("s{:03}", number);
    return fmt::format("{}-{}{}", base.substr(0, dot), what, base.substr(dot));
}

/// Makes the extents of a disk of several files; their lines are added to `lines`.
Status create_extents(const std::string& path, const CreateParameters& p, u64 size,
                      CreateContext& context, std::vector<ExtentLine>& lines)
{
    const u64 step = p.subformat == Subformat::monolithic_flat ? size : kTwoGb;
    if (size != 0 && divide_up(size, step) > kMaxExtents) {
        return too_large();
    }
    for (u64 at = 0; at < size; at += step) {
        const u64 length = std::min(step, size - at);
        const std::string name = extent_name(p, path, lines.size() + 1);
        if (!context.make_sibling) {
            return fail(Errc::unsupported, "images of several files cannot be made here");
        }
        auto file = context.make_sibling(name);
        if (!file) {
            return std::move(file).error();
        }
        auto made = p.flat() ? make_zero_raw(*file.value(), length, Preallocate::none)
                             : make_in_empty(*file.value(), [&](ByteSource& empty) {
                                   return create_sparse(empty, p, length, "");
                               });
        if (!made) {
            return made;
        }
        lines.push_back(
            {.sectors = length / kSector, .type = p.flat() ? "FLAT" : "SPARSE", .name = name});
    }
    return base::ok();
}

/// The CID of the backing file, which must be there and VMDK.
Result<u32> parent_cid(const CreateParameters& p, CreateContext& context)
{
    if (!context.open_sibling) {
        return fail(Errc::unsupported, "images with backing files cannot be made here");
    }
    auto file = context.open_sibling(p.backing_name);
    if (!file) {
        return std::move(file).error();
    }
    auto text = read_descriptor(*file.value());
    if (!text) {
        return fail(Errc::invalid_argument, "backing_file must be a vmdk image");
    }
    auto descriptor = parse_descriptor(text.value().text);
    if (!descriptor) {
        return fail(Errc::invalid_argument, "backing_file must be a vmdk image");
    }
    return descriptor.value().cid;
}

bool has_line_break_or_quote(const std::string& text)
{
    return text.find_first_of(std::string_view{"\"\n\r\0", 4}) != std::string::npos;
}

} // namespace

Status check_parameters(const CreateParameters& p)
{
    if (p.flat() && !p.backing_name.empty()) {
        return fail(Errc::invalid_argument, "Flat image can't have backing file");
    }
    if (p.flat() && p.zeroed_grain) {
        return fail(Errc::invalid_argument, "Flat image can't enable zeroed grain");
    }
    for (const std::string* text : {&p.hardware, &p.tools, &p.backing_name}) {
        if (has_line_break_or_quote(*text)) {
            return fail(Errc::invalid_argument,
                        "quotes and line breaks cannot be part of a VMDK descriptor's values");
        }
    }
    if (p.backing_name.size() > kMaxParentName) {
        return fail(Errc::invalid_argument, "Backing file name too long");
    }
    if (p.size > kMaxCapacity * kSector) {
        return too_large();
    }
    return base::ok();
}

Status create(ByteSource& file, const CreateParameters& p, CreateContext& context)
{
    if (auto good = check_parameters(p); !good) {
        return good;
    }
    DescriptorSettings settings{
        .header = {.type = std::string{type_name(p.subformat)}, .parent_name = p.backing_name},
        .adapter = p.adapter,
        .hardware = p.hardware,
        .tools = p.tools};
    std::array<u8, sizeof(u32)> random{};
    context.identity->random(random);
    settings.header.cid = base::load_be<u32>(random, 0);
    if (!p.backing_name.empty()) {
        auto cid = parent_cid(p, context);
        if (!cid) {
            return std::move(cid).error();
        }
        settings.header.parent_cid = cid.value();
    }
    const u64 size = divide_up(p.size, kSector) * kSector;
    const bool one_file =
        p.subformat == Subformat::monolithic_sparse || p.subformat == Subformat::stream_optimized;
    if (one_file) {
        const std::string& path = file.name();
        settings.extents.push_back({.sectors = size / kSector,
                                    .type = "SPARSE",
                                    .name = path.substr(path.find_last_of("/\\:") + 1)});
        return create_sparse(file, p, size, write_descriptor(settings));
    }
    if (auto made = create_extents(file.name(), p, size, context, settings.extents); !made) {
        return made;
    }
    const std::string text = write_descriptor(settings);
    return file.write(FileOffset{0}, {reinterpret_cast<const u8*>(text.data()), text.size()});
}

} // namespace img::vmdk
