// Delta files: what makes one disk's content of another's. docs/delta-format.md describes them.
#pragma once

#include "imgtool/crypto/host_crypto.hpp"
#include "imgtool/filter/compression.hpp"
#include "imgtool/ops/tree_hash.hpp"
#include "imgtool/source/byte_source.hpp"

#include <optional>
#include <span>
#include <vector>

namespace img {

struct DeltaHeader {
    u64 old_size = 0;            // bytes
    u64 new_size = 0;            // bytes
    u64 block_size = kTreeBlock; // bytes, of the tree hashes
    Digest old_hash = {};        // SHA-256 tree hashes
    Digest new_hash = {};
};

struct DeltaRecord {
    enum class Kind : u32 { zero = 1, stored = 2, zstd = 3, end = 4 };

    Kind kind = Kind::end;
    u32 packed_length = 0; // bytes in the file, at `at`
    u64 offset = 0;        // bytes, on the disk
    u64 length = 0;        // bytes, on the disk
    FileOffset at{0};
};

/// The most bytes that a record of data may stand for.
inline constexpr u64 kMaxDeltaData = u64{1} << 20;

/// Writes to an empty file. Records must be in order.
class DeltaWriter {
public:
    static Result<DeltaWriter> begin(ByteSource& file, const DeltaHeader& header);

    Status add_zeroes(u64 offset, u64 length);
    Status add_data(u64 offset, std::span<const u8> bytes); // at most kMaxDeltaData
    /// Ends the file and makes it durable.
    Status finish();

private:
    DeltaWriter(ByteSource& file, crypto::Hasher hasher);
    Status put(std::span<const u8> bytes);
    Status put_head(const DeltaRecord& record);
    Status put_pending();

    ByteSource& file_;
    crypto::Hasher hasher_;
    std::unique_ptr<Packer> packer_;
    std::vector<u8> packed_;
    DeltaRecord pending_; // zeroes that may go on; length 0: none
    u64 at_ = 0;          // bytes written
    u64 records_ = 0;
};

/// Reads a file that may hold anything.
class DeltaReader {
public:
    /// Errors: `wrong_format`, `corrupt`, `unsupported` for another version.
    static Result<DeltaReader> open(ByteSource& file);

    const DeltaHeader& header() const { return header_; }

    /// Looks at the whole file: the order of the records, their lengths, the checksum.
    Status verify();

    /// The next record, from the first on; nothing at the end. Its place on the disk is sound.
    Result<std::optional<DeltaRecord>> next();
    /// The bytes of a record of data.
    Status read(const DeltaRecord& record, std::vector<u8>& bytes);

private:
    DeltaReader(ByteSource& file, DeltaHeader header);
    Result<DeltaRecord> parse_at(u64 at);

    ByteSource* file_;
    DeltaHeader header_;
    u64 at_;               // of the next record
    u64 least_offset_ = 0; // where it may begin
    u64 records_ = 0;
    std::shared_ptr<Unpacker> unpacker_;
    std::vector<u8> packed_;
};

} // namespace img
