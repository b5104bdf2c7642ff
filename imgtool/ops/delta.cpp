#include "imgtool/ops/delta.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace img {

namespace {

using base::Errc;
using base::fail;
using base::load_le;
using base::store_le;

// docs/delta-format.md, "Header" and "Records".
constexpr std::string_view kMagic{"imgdelta", 8};
constexpr u32 kVersion = 1;
constexpr std::size_t kHeaderSize = 104;
constexpr std::size_t kHeadSize = 24; // of a record
constexpr std::size_t kHashSize = 32;

Digest load_hash(std::span<const u8> bytes)
{
    Digest digest{.bytes = {}, .size = kHashSize};
    std::copy_n(bytes.begin(), kHashSize, digest.bytes.begin());
    return digest;
}

base::Error corrupt(const std::string& what, u64 at)
{
    return fail(Errc::corrupt, "the delta is damaged: " + what + " at byte " + std::to_string(at));
}

} // namespace

DeltaWriter::DeltaWriter(ByteSource& file, crypto::Hasher hasher)
    : file_{file}, hasher_{std::move(hasher)}, packer_{std::make_unique<Packer>(Codec::zstd)}
{}

Result<DeltaWriter> DeltaWriter::begin(ByteSource& file, const DeltaHeader& header)
{
    auto hasher = crypto::Hasher::make(crypto::Hash::sha256);
    if (!hasher) {
        return std::move(hasher).error();
    }
    std::array<u8, kHeaderSize> bytes{};
    std::ranges::copy(kMagic, bytes.begin());
    store_le<u32>(bytes, 8, kVersion);
    store_le<u32>(bytes, 12, kHeaderSize);
    store_le<u64>(bytes, 16, header.old_size);
    store_le<u64>(bytes, 24, header.new_size);
    store_le<u64>(bytes, 32, header.block_size);
    std::copy_n(header.old_hash.bytes.begin(), kHashSize, bytes.begin() + 40);
    std::copy_n(header.new_hash.bytes.begin(), kHashSize, bytes.begin() + 72);
    DeltaWriter writer{file, std::move(hasher).value()};
    if (auto put = writer.put(bytes); !put) {
        return std::move(put).error();
    }
    return writer;
}

Status DeltaWriter::put(std::span<const u8> bytes)
{
    hasher_.add(bytes);
    auto written = file_.write(FileOffset{at_}, bytes);
    at_ += bytes.size();
    return written;
}

Status DeltaWriter::put_head(const DeltaRecord& record)
{
    std::array<u8, kHeadSize> bytes{};
    store_le<u32>(bytes, 0, static_cast<u32>(record.kind));
    store_le<u32>(bytes, 4, record.packed_length);
    store_le<u64>(bytes, 8, record.offset);
    store_le<u64>(bytes, 16, record.length);
    return put(bytes);
}

Status DeltaWriter::put_pending()
{
    if (pending_.length == 0) {
        return base::ok();
    }
    ++records_;
    auto put = put_head(pending_);
    pending_.length = 0;
    return put;
}

Status DeltaWriter::add_zeroes(u64 offset, u64 length)
{
    if (pending_.length != 0 && pending_.offset + pending_.length == offset) {
        pending_.length += length;
        return base::ok();
    }
    auto put = put_pending();
    pending_ = {.kind = DeltaRecord::Kind::zero, .offset = offset, .length = length};
    return put;
}

Status DeltaWriter::add_data(u64 offset, std::span<const u8> bytes)
{
    if (auto put = put_pending(); !put) {
        return put;
    }
    packed_.resize(bytes.size() - 1);
    const std::size_t n = packer_->pack(bytes, packed_);
    const auto stored = n != 0 ? std::span<const u8>{packed_}.first(n) : bytes;
    ++records_;
    auto put = put_head({.kind = n != 0 ? DeltaRecord::Kind::zstd : DeltaRecord::Kind::stored,
                         .packed_length = static_cast<u32>(stored.size()),
                         .offset = offset,
                         .length = bytes.size()});
    return put ? this->put(stored) : std::move(put);
}

Status DeltaWriter::finish()
{
    if (auto put = put_pending(); !put) {
        return put;
    }
    if (auto put = put_head({.kind = DeltaRecord::Kind::end,
                             .packed_length = kHashSize,
                             .offset = records_,
                             .length = 0});
        !put) {
        return put;
    }
    std::array<u8, kHashSize> sum{};
    if (auto made = hasher_.finish(sum); !made) {
        return made;
    }
    auto put = file_.write(FileOffset{at_}, sum);
    return put ? file_.flush() : std::move(put);
}

DeltaReader::DeltaReader(ByteSource& file, DeltaHeader header)
    : file_{&file}, header_{header}, at_{kHeaderSize}, unpacker_{std::make_shared<Unpacker>()}
{}

Result<DeltaReader> DeltaReader::open(ByteSource& file)
{
    std::array<u8, kHeaderSize> bytes{};
    if (file.size() < bytes.size()) {
        return fail(Errc::wrong_format, "this is not a delta: it is too short");
    }
    if (auto read = file.read(FileOffset{0}, bytes); !read) {
        return std::move(read).error();
    }
    if (!std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) {
        return fail(Errc::wrong_format, "this is not a delta: it does not begin like one");
    }
    if (const u32 version = load_le<u32>(bytes, 8); version != kVersion) {
        return fail(Errc::unsupported,
                    "deltas of version " + std::to_string(version) + " are not supported");
    }
    if (load_le<u32>(bytes, 12) != kHeaderSize) {
        return corrupt("a wrong header length", 12);
    }
    const DeltaHeader header{.old_size = load_le<u64>(bytes, 16),
                             .new_size = load_le<u64>(bytes, 24),
                             .block_size = load_le<u64>(bytes, 32),
                             .old_hash = load_hash(std::span{bytes}.subspan(40)),
                             .new_hash = load_hash(std::span{bytes}.subspan(72))};
    constexpr u64 kLongest = u64{1} << 62; // so that sums do not overflow
    if (header.old_size > kLongest || header.new_size > kLongest) {
        return corrupt("an impossible disk size", 16);
    }
    if (header.block_size < kMinTreeBlock || header.block_size > kMaxTreeBlock ||
        (header.block_size & (header.block_size - 1)) != 0) {
        return corrupt("an impossible block size", 32);
    }
    return DeltaReader{file, header};
}

/// The record at `at`, by itself.
Result<DeltaRecord> DeltaReader::parse_at(u64 at)
{
    std::array<u8, kHeadSize> bytes{};
    if (file_->size() < at || file_->size() - at < bytes.size()) {
        return corrupt("it ends too early,", at);
    }
    if (auto read = file_->read(FileOffset{at}, bytes); !read) {
        return std::move(read).error();
    }
    const u32 kind = load_le<u32>(bytes, 0);
    DeltaRecord record{.kind = static_cast<DeltaRecord::Kind>(kind),
                       .packed_length = load_le<u32>(bytes, 4),
                       .offset = load_le<u64>(bytes, 8),
                       .length = load_le<u64>(bytes, 16),
                       .at = FileOffset{at + kHeadSize}};
    using enum DeltaRecord::Kind;
    if (kind < static_cast<u32>(zero) || kind > static_cast<u32>(end)) {
        return corrupt("an unknown record", at);
    }
    if (record.packed_length > file_->size() - record.at.bytes) {
        return corrupt("it ends too early,", at);
    }
    const bool is_data = record.kind == stored || record.kind == zstd;
    const bool good_length = record.kind == end      ? record.packed_length == kHashSize
                             : record.kind == zero   ? record.packed_length == 0
                             : record.kind == stored ? record.packed_length == record.length
                                                     : record.packed_length < record.length;
    if (!good_length || (is_data && record.length > kMaxDeltaData) ||
        (record.length == 0) != (record.kind == end)) {
        return corrupt("a wrong length", at);
    }
    return record;
}

Result<std::optional<DeltaRecord>> DeltaReader::next()
{
    auto parsed = parse_at(at_);
    if (!parsed) {
        return std::move(parsed).error();
    }
    const DeltaRecord& record = parsed.value();
    const u64 after = record.at.bytes + record.packed_length;
    if (record.kind == DeltaRecord::Kind::end) {
        if (record.offset != records_) {
            return corrupt("a wrong number of records", at_);
        }
        if (after != file_->size()) {
            return corrupt("something after its end,", after);
        }
        return std::optional<DeltaRecord>{};
    }
    if (record.offset < least_offset_ || record.offset > header_.new_size ||
        record.length > header_.new_size - record.offset) {
        return corrupt("a range out of order or past the end of the disk", at_);
    }
    at_ = after;
    least_offset_ = record.offset + record.length;
    ++records_;
    return std::optional{record};
}

Status DeltaReader::verify()
{
    DeltaReader scan{*file_, header_};
    for (;;) {
        auto record = scan.next();
        if (!record) {
            return std::move(record).error();
        }
        if (!record.value()) {
            break;
        }
    }
    auto hasher = crypto::Hasher::make(crypto::Hash::sha256);
    if (!hasher) {
        return std::move(hasher).error();
    }
    const u64 summed = file_->size() - kHashSize;
    std::vector<u8> bytes(std::min<u64>(summed, u64{64} << 10));
    for (u64 at = 0; at < summed;) {
        const auto piece = std::span{bytes}.first(std::min<u64>(bytes.size(), summed - at));
        if (auto read = file_->read(FileOffset{at}, piece); !read) {
            return read;
        }
        hasher.value().add(piece);
        at += piece.size();
    }
    std::array<u8, kHashSize> found{};
    std::array<u8, kHashSize> wanted{};
    if (auto read = file_->read(FileOffset{summed}, found); !read) {
        return read;
    }
    if (auto made = hasher.value().finish(wanted); !made) {
        return made;
    }
    return found == wanted ? base::ok() : Status{corrupt("a wrong checksum", summed)};
}

Status DeltaReader::read(const DeltaRecord& record, std::vector<u8>& bytes)
{
    bytes.resize(record.length);
    if (record.kind == DeltaRecord::Kind::stored) {
        return file_->read(record.at, bytes);
    }
    packed_.resize(record.packed_length);
    if (auto read = file_->read(record.at, packed_); !read) {
        return read;
    }
    if (!unpacker_->unpack(Codec::zstd, packed_, bytes)) {
        return corrupt("data that cannot be unpacked", record.at.bytes);
    }
    return base::ok();
}

} // namespace img
