// Writing VHDX images, and checking them.
//
// The order on the disk (MS-VHDX 2.3.3, "Log Entry ... Replay", and 2.2.2.1):
//   1. a header with new GUIDs, before anything else changes
//   2. data, with the file's new length
//   3. the log: what the BAT's sectors become
//   4. the first time, a header that says there is a log; an image whose log has no entries would
//      be taken for damaged, so this comes after the first entry
//   5. the BAT's sectors in their place; they are durable by the next 2.
// When the image is closed, all is made durable, and a header says that the log is empty.
#include "imgtool/formats/vhdx/vhdx_image.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img::vhdx {

using base::Errc;
using base::fail;

/// Writes the header that is not the newest, which it is from then on; and then the other one, so
/// that either will do when one is damaged: MS-VHDX 2.2.2.1, "Updating the Headers".
Status VhdxImage::write_headers()
{
    for (std::size_t i = 0; i < kHeaderAt.size(); ++i) {
        ++header_.sequence;
        header_slot_ = 1 - header_slot_;
        const auto bytes = encode_header(header_);
        auto done = file_->write(FileOffset{kHeaderAt[header_slot_]}, bytes);
        done = done ? file_->flush() : std::move(done);
        if (!done) {
            return done;
        }
    }
    return base::ok();
}

Status VhdxImage::begin_session()
{
    if (in_session_) {
        return base::ok();
    }
    if (disk_.has_parent) {
        return fail(Errc::unsupported, "VHDX differencing images can be read, not written");
    }
    const Region log{header_.log_offset, header_.log_length};
    if (log.length < kMiB) {
        return fail(Errc::unsupported,
                    fmt::format("VHDX image with a log of {} bytes cannot be written", log.length));
    }
    log_.emplace(*file_, log, identity_.uuid());
    header_.file_write_guid = identity_.uuid();
    header_.data_write_guid = identity_.uuid();
    // A log GUID that is still there is of a log without entries.
    header_.log_guid = kNoGuid;
    in_session_ = true;
    return write_headers();
}

Result<Placement> VhdxImage::place(GuestOffset from, u64 length)
{
    if (from.bytes >= disk_.size || length == 0) {
        return fail(Errc::invalid_argument, "offset beyond the end of the disk");
    }
    if (auto begun = begin_session(); !begun) {
        return std::move(begun).error();
    }
    if (table_->crowded()) {
        if (auto done = flush(); !done) {
            return std::move(done).error();
        }
    }
    const u64 block = from.bytes / disk_.block_size;
    const u64 within = from.bytes % disk_.block_size;
    auto value = load_entry(block);
    if (!value) {
        return std::move(value).error();
    }
    wrote_data_ = true;
    length = std::min(length, block_bytes(block) - within);
    const BatEntry entry = decode_entry(value.value());
    if (entry.present()) {
        return Placement{.from = from, .at = {entry.offset + within}, .length = length};
    }
    if (free_ + disk_.block_size > kMaxFileSize) {
        return fail(Errc::io, "VHDX image file is too large");
    }
    const u64 at = free_;
    free_ += disk_.block_size;
    return Placement{.from = from,
                     .at = {at + within},
                     .length = length,
                     .fresh = true,
                     .block = {from.bytes - within},
                     .block_length = disk_.block_size};
}

Status VhdxImage::publish(const Placement& placement)
{
    if (!placement.fresh) {
        return base::ok();
    }
    const u64 entry = entry_at(placement.block.bytes / disk_.block_size);
    auto slice = table_->get_for_write(entry / kLogSector * kLogSector);
    if (!slice) {
        return std::move(slice).error().in("reading the VHDX BAT");
    }
    const u64 at = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    base::store_le<u64>(slice.value(), entry % kLogSector,
                        encode_entry(BlockState::fully_present, at));
    return base::ok();
}

void VhdxImage::abandon(const Placement& placement)
{
    const u64 at = placement.at.bytes - (placement.from.bytes - placement.block.bytes);
    if (placement.fresh && at + disk_.block_size == free_) {
        free_ = at;
    }
}

Result<u64> VhdxImage::place_zeroes(GuestOffset from, u64 length)
{
    if (from.bytes >= disk_.size) {
        return u64{0};
    }
    if (disk_.has_parent) {
        return u64{0}; // place() refuses it
    }
    auto extent = map(from, length, MapDetail::fast);
    if (!extent) {
        return std::move(extent).error();
    }
    if (extent.value().kind == Extent::Kind::data) {
        if (auto begun = begin_session(); !begun) {
            return std::move(begun).error();
        }
        wrote_data_ = true;
        if (auto done = file_->zero(extent.value().at, extent.value().length); !done) {
            return std::move(done).error();
        }
    }
    return extent.value().length;
}

/// Puts the BAT's changed sectors through the log.
Status VhdxImage::commit_table()
{
    const auto sectors = table_->dirty_slices();
    const u64 at_once = log_->capacity();
    for (std::size_t i = 0; i < sectors.size(); i += at_once) {
        const auto end = std::min<std::size_t>(sectors.size(), i + at_once);
        const LogWriter::Sectors piece{sectors.begin() + static_cast<std::ptrdiff_t>(i),
                                       sectors.begin() + static_cast<std::ptrdiff_t>(end)};
        if (auto done = log_->write(piece); !done) {
            return done;
        }
        if (header_.log_guid == kNoGuid) {
            header_.log_guid = log_->id();
            if (auto done = write_headers(); !done) {
                return done;
            }
        }
        if (end == sectors.size()) {
            break; // in place by write_dirty()
        }
        for (const auto& [at, bytes] : piece) {
            if (auto done = file_->write(FileOffset{at}, bytes); !done) {
                return done;
            }
        }
        if (auto done = file_->flush(); !done) {
            return done;
        }
    }
    return table_->write_dirty();
}

Status VhdxImage::flush()
{
    if (!wrote_data_ && !table_->dirty()) {
        return base::ok();
    }
    if (file_->size() % kMiB != 0) { // MS-VHDX 2.1: a file is made of whole MiB
        if (auto grown = file_->resize(free_); !grown) {
            return grown;
        }
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    wrote_data_ = false;
    return table_->dirty() ? commit_table() : base::ok();
}

Status VhdxImage::end_session()
{
    if (!in_session_ || header_.log_guid == kNoGuid) {
        return base::ok();
    }
    if (auto done = file_->flush(); !done) {
        return done;
    }
    header_.log_guid = kNoGuid;
    return write_headers();
}

Result<CheckReport> VhdxImage::check(Repair, const ProblemSink& problem)
{
    CheckReport report;
    report.corruptions_fixed = replayed_ ? 1 : 0; // opening did that
    auto scanned = scan_table([&](const std::string& text) {
        problem(text);
        ++report.corruptions;
        return true;
    });
    if (!scanned) {
        return std::move(scanned).error();
    }
    if (report.corruptions != 0) {
        return report;
    }
    // Blocks are in the file, and begin on a MiB: one bit for each tells those that share bytes.
    std::vector<bool> used(file_->size() / kMiB + 1);
    const u64 reach = disk_.block_size / kMiB;
    for (u64 block = 0; block < disk_.blocks();) {
        const u64 start = block * disk_.block_size;
        auto extent = map({start}, disk_.size - start, MapDetail::fast);
        if (!extent) {
            problem(extent.error().message);
            ++report.corruptions;
            ++block;
            continue;
        }
        const u64 count = (extent.value().length + disk_.block_size - 1) / disk_.block_size;
        const bool data = extent.value().kind == Extent::Kind::data;
        for (u64 mib = 0; data && mib < count * reach; ++mib) {
            const u64 at = extent.value().at.bytes / kMiB + mib;
            if (at < used.size() && used[at]) {
                problem(fmt::format("VHDX block {} lies on another block", block + mib / reach));
                ++report.corruptions;
                mib = (mib / reach + 1) * reach - 1;
            } else if (at < used.size()) {
                used[at] = true;
            }
        }
        block += count;
    }
    return report;
}

} // namespace img::vhdx
