#include "imgtool/formats/qcow/qcow_image.hpp"

#include "base/endian.hpp"
#include "imgtool/crypto/passphrase.hpp"
#include "imgtool/crypto/sector_cipher.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::qcow {

namespace {

using base::Errc;
using base::fail;
using base::load_be;

constexpr u64 kSliceSize = 4096;           // bytes
constexpr std::size_t kCachedSlices = 256; // of L2 tables: 512 MiB of disk at 4 KiB clusters
constexpr std::size_t kCachedL1Slices = 16;
constexpr const char* kKeySecret = "encrypt.key-secret";

Result<std::string> read_backing_name(ByteSource& file, const Header& header)
{
    if (header.backing_offset == 0) {
        return std::string{};
    }
    std::string name(header.backing_length, '\0'); // at most kMaxBackingName
    if (header.backing_offset > file.size() || name.size() > file.size() - header.backing_offset) {
        return fail(Errc::corrupt, "the backing file's name lies past the end of the file");
    }
    const std::span<u8> bytes{reinterpret_cast<u8*>(name.data()), name.size()};
    if (auto read = file.read(FileOffset{header.backing_offset}, bytes); !read) {
        return std::move(read).error().in("Could not read backing file name");
    }
    name.resize(std::min(name.size(), name.find('\0')));
    return name;
}

/// Null when there is nothing to decrypt.
Result<std::unique_ptr<SectorCipher>> open_cipher(const Header& header, const OpenContext& context)
{
    const bool encrypted = header.crypt != crypt_method::none;
    if (auto good = crypto::check_format_option(context.options, encrypted ? "aes" : ""); !good) {
        return std::move(good).error();
    }
    if (!encrypted || context.no_io || context.purpose == OpenFor::check) {
        return std::unique_ptr<SectorCipher>{};
    }
    auto passphrase = crypto::find_passphrase(
        context.secrets, crypto::value_of(context.options, kKeySecret), kKeySecret);
    if (!passphrase) {
        return std::move(passphrase).error();
    }
    return crypto::make_qcow_cipher(passphrase.value());
}

} // namespace

QcowImage::QcowImage(std::unique_ptr<ByteSource> file, Header header, std::string backing_name,
                     std::unique_ptr<SectorCipher> cipher)
    : file_{std::move(file)}, header_{header}, backing_name_{std::move(backing_name)},
      cipher_{std::move(cipher)}, l1_cache_{*file_, kSliceSize, kCachedL1Slices},
      l2_cache_{*file_, std::min(kSliceSize, header_.l2_bytes()), kCachedSlices},
      next_{std::max(file_->size(), header_.l1_end())}
{}

QcowImage::~QcowImage()
{
    if (!file_->read_only()) {
        (void)flush(); // whoever cares for the result has called flush() before
    }
}

Result<std::unique_ptr<Image>> QcowImage::open(std::unique_ptr<ByteSource> file,
                                               OpenContext& context)
{
    std::array<u8, kHeaderSize> start{};
    if (auto read = read_padded(*file, FileOffset{0}, start); !read) {
        return std::move(read).error();
    }
    auto header = parse_header(start);
    if (!header) {
        return std::move(header).error();
    }
    if (context.purpose == OpenFor::use && header.value().l1_end() > file->size()) {
        return fail(Errc::corrupt, "Could not read L1 table: it lies past the end of the file");
    }
    auto name = read_backing_name(*file, header.value());
    if (!name) {
        return std::move(name).error();
    }
    auto cipher = open_cipher(header.value(), context);
    if (!cipher) {
        return std::move(cipher).error();
    }
    std::unique_ptr<QcowImage> image{new QcowImage{
        std::move(file), header.value(), std::move(name).value(), std::move(cipher).value()}};
    if (image->file_->fixed_size() && !image->file_->read_only()) {
        auto end = find_end(*image->file_, header.value());
        if (!end) {
            return std::move(end).error();
        }
        image->next_ = end.value();
    }
    return std::unique_ptr<Image>{std::move(image)};
}

Result<u64> QcowImage::l1_entry(u64 index)
{
    if (const auto changed = dirty_l1_.find(index); changed != dirty_l1_.end()) {
        return changed->second;
    }
    const u64 at = index * sizeof(u64);
    auto slice = l1_cache_.get(header_.l1_offset + at / kSliceSize * kSliceSize);
    if (!slice) {
        return std::move(slice).error().in("Could not read L1 table");
    }
    return load_be<u64>(slice.value(), at % kSliceSize);
}

Result<QcowImage::L2Place> QcowImage::l2_place(u64 guest)
{
    const u64 in_table = (guest >> header_.cluster_bits) & (header_.l2_entries() - 1);
    const u64 per_slice = l2_cache_.slice_size() / sizeof(u64);
    const u64 index = in_table % per_slice;
    auto table = l1_entry(guest / header_.l2_reach());
    if (!table) {
        return std::move(table).error();
    }
    if (table.value() == 0) {
        return L2Place{0, index, header_.l2_entries() - in_table};
    }
    if (table.value() % 512 != 0 || table.value() >= file_->size()) {
        return fail(Errc::corrupt, fmt::format("qcow: L2 table offset {:#x} (guest offset {:#x}) "
                                               "is unaligned or past the end of the file",
                                               table.value(), guest));
    }
    return L2Place{table.value() + in_table / per_slice * l2_cache_.slice_size(), index,
                   per_slice - index};
}

Result<u64> QcowImage::load_entry(const L2Place& at, u64 ahead)
{
    if (at.slice == 0) {
        return u64{0};
    }
    auto slice = l2_cache_.get(at.slice);
    if (!slice) {
        return std::move(slice).error().in("Could not read L2 table");
    }
    return load_be<u64>(slice.value(), (at.index + ahead) * sizeof(u64));
}

/// The first entry of a place, which is one that can be followed.
Result<u64> QcowImage::checked_entry(const L2Place& at, u64 guest)
{
    auto entry = load_entry(at, 0);
    if (entry && (entry.value() & kCompressed) == 0 && entry.value() % 512 != 0) {
        return fail(Errc::corrupt,
                    fmt::format("qcow: cluster offset {:#x} unaligned (guest offset {:#x})",
                                entry.value(), guest));
    }
    return entry;
}

Result<Extent> QcowImage::map(GuestOffset from, u64 limit, MapDetail)
{
    if (from.bytes >= size() || limit == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    limit = std::min(limit, size() - from.bytes);
    auto at = l2_place(from.bytes);
    if (!at) {
        return std::move(at).error();
    }
    const u64 cluster = header_.cluster_size();
    const u64 within = from.bytes & header_.within();
    auto first = checked_entry(at.value(), from.bytes);
    if (!first) {
        return std::move(first).error();
    }
    const u64 entry = first.value();
    if ((entry & kCompressed) != 0) {
        const PackedRange range = packed_range(header_, entry);
        return Extent{.kind = Extent::Kind::compressed,
                      .length = std::min(limit, cluster - within),
                      .packed = {.at = FileOffset{range.at},
                                 .packed_length = range.length,
                                 .block = GuestOffset{from.bytes - within},
                                 .block_length = cluster,
                                 .codec = Codec::raw_deflate}};
    }
    // The run goes on as long as clusters lie side by side in the file, or there are none.
    u64 count = at.value().slice == 0 ? at.value().left : 1;
    while (count < at.value().left && count * cluster - within < limit) {
        auto next = load_entry(at.value(), count);
        if (!next) {
            return std::move(next).error();
        }
        if (next.value() != (entry == 0 ? 0 : entry + count * cluster)) {
            break;
        }
        ++count;
    }
    const u64 length = std::min(limit, count * cluster - within);
    if (entry == 0) {
        return Extent{.kind = Extent::Kind::backing, .length = length};
    }
    return Extent{.kind = Extent::Kind::data,
                  .length = length,
                  .at = FileOffset{entry + within},
                  .sealing = sealing_at(from.bytes)};
}

std::optional<Image::Packing> QcowImage::packing() const
{
    return Packing{.block_size = header_.cluster_size(), .codec = Codec::raw_deflate};
}

ImageInfo QcowImage::info()
{
    return {.format = "qcow",
            .size = size(),
            .cluster_size = header_.cluster_size(),
            .encrypted = header_.crypt != crypt_method::none,
            .backing_name = backing_name_};
}

Result<CheckReport> QcowImage::check(Repair repair, const ProblemSink& problem)
{
    return check_file(*file_, header_, repair, problem);
}

} // namespace img::qcow
