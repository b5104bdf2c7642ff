// The interfaces between image formats and everything else.
//
// A format answers one question, `map()`: where are these guest bytes? For writing it answers
// `place()`: where may they go? Reading, decompression, backing chains, copy-on-write, conversion,
// `map` and `compare` are then written once, for all formats.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "imgtool/source/byte_source.hpp"

#include <compare>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace img {

/// A position on the virtual disk.
struct GuestOffset {
    u64 bytes;
    auto operator<=>(const GuestOffset&) const = default;
};

/// How a compressed extent is packed.
enum class Codec : u8 {
    raw_deflate, // RFC 1951 without header or trailer
    zlib,        // RFC 1950
    zstd,        // RFC 8878 frames
    bzip2,       // of DMG
    adc,         // Apple Data Compression, of DMG
    lzfse        // of DMG
};

class SectorCipher;

/// How the bytes of an extent are encrypted. They are ciphered in sectors of 512 bytes, each with
/// its position. Extents and placements may begin and end inside of sectors, all of which lie in
/// the file next to them: a sector begins in the file as many bytes before `at` as `position` is
/// past a multiple of 512.
struct Sealing {
    const SectorCipher* cipher = nullptr; // null: not encrypted; lives as long as the image
    u64 position = 0;                     // bytes, of the first byte, as the cipher counts
};

struct Extent {
    enum class Kind : u8 {
        data,       // `length` bytes are in the file at `at`
        compressed, // they are part of the block described by `packed`
        zero,       // they read as zero; when `reserved`, `at` is kept for them in the file
        backing     // they are whatever the backing image says (zero where there is none);
                    // `reserved` as for zero
    };

    /// The compressed block that covers the extent.
    struct Packed {
        FileOffset at{0};
        u64 packed_length = 0; // bytes in the file, an upper bound
        GuestOffset block{0};  // where the unpacked block begins on the disk
        u64 block_length = 0;  // unpacked bytes
        u64 least = 0;         // of those that must be there, the rest is zero; 0: all
        Codec codec = Codec::raw_deflate;
    };

    Kind kind;
    u64 length;               // bytes, at least 1
    FileOffset at{0};         // for Kind::data, and others when `reserved`
    bool reserved = false;    // for Kind::zero and Kind::backing
    bool marked = false;      // for Kind::data: ByteSource::Run::marked
    bool stored = false;      // for Kind::zero: data by the format, but a hole of the host's file
    Packed packed{};          // for Kind::compressed
    ByteSource* in = nullptr; // the file that `at` is in; null: Image::file()
    Sealing sealing{};        // for Kind::data
};

/// How much work map() may do. `fast` may call a hole of the host's file data.
enum class MapDetail : u8 { fast, exact };

/// Where new bytes go. A `fresh` placement is not part of the image until it is published, and the
/// whole range [block, block + block_length) must have been written to the file by then.
struct Placement {
    GuestOffset from;   // as asked
    FileOffset at;      // where the byte `from` goes
    u64 length;         // bytes from `from` on that lie there in one piece
    bool fresh = false; // when false the block is not used
    GuestOffset block{0};
    u64 block_length = 0;
    ByteSource* in = nullptr; // the file that `at` is in; null: Image::file()
    Sealing sealing{};        // what is written at `at` is encrypted with this
};

/// A named value of a format's own information, in the order it is printed.
struct Property {
    std::string key;  // as in JSON: "compression-type"; empty for members of a list
    std::string text; // as printed; for JSON a string, number or boolean by `kind`
    enum class Kind : u8 { string, number, boolean, object, list } kind = Kind::string;
    std::vector<Property> members = {}; // of an object or a list
};

/// An internal snapshot, as `info` shows it.
struct SnapshotInfo {
    std::string id;
    std::string name;
    u64 vm_state_size = 0; // bytes
    u32 date_s = 0;        // since 1970, UTC
    u32 date_ns = 0;       // fraction
    u64 vm_clock_ns = 0;
    std::optional<u64> icount;
    u64 disk_size = 0; // bytes
};

/// What an image says of itself.
struct ImageInfo {
    std::string format;
    u64 size = 0;                // bytes of the virtual disk
    u64 cluster_size = 0;        // bytes; 0 where the format has none
    u64 subcluster_size = 0;     // bytes that can be there by themselves; 0: whole clusters
    bool dirty = false;          // not closed cleanly
    bool has_dirty_flag = true;  // whether `info` tells of it at all
    bool has_compressed = false; // every cluster is compressed
    bool encrypted = false;
    std::string backing_name = {};            // as the image has it; empty when none
    std::string backing_format = {};          // empty when not declared
    std::vector<Property> specific = {};      // "Format specific information"
    std::vector<SnapshotInfo> snapshots = {}; // internal ones
};

enum class Repair : u8 { none, leaks, all };

/// What check found; the fields are those of `imgtool check --output=json`.
struct CheckReport {
    u64 corruptions = 0, leaks = 0, check_errors = 0;
    u64 corruptions_fixed = 0, leaks_fixed = 0;
    u64 image_end_offset = 0; // bytes
    u64 total_clusters = 0, allocated_clusters = 0, fragmented_clusters = 0,
        compressed_clusters = 0;
};

/// Is told each problem as it is found, in one line.
using ProblemSink = std::function<void(const std::string& problem)>;

class BitmapStore;  // imgtool/bitmap.hpp
struct OpenContext; // imgtool/format.hpp

/// When a snapshot is taken.
struct SnapshotTime {
    u32 seconds = 0; // since 1970, UTC
    u32 nanoseconds = 0;
};

/// For create and amend: option names and values. "Completed" ones (ops/create.hpp) are checked
/// against the format's table, in its order, with its defaults, sizes as plain numbers.
using CreateSettings = std::vector<std::pair<std::string, std::string>>;

class Image {
public:
    virtual ~Image() = default;

    virtual u64 size() const = 0; // bytes of the virtual disk
    virtual ByteSource& file() = 0;

    /// Where the bytes from `from` on are. The extent is at most `limit` bytes long, and shorter
    /// if the answer changes earlier. `from` must lie on the disk.
    virtual Result<Extent> map(GuestOffset from, u64 limit, MapDetail detail) = 0;

    /// Whether what map() says may be read where it says. When not, map() with MapDetail::fast must
    /// be asked before each reading.
    virtual bool extents_can_be_read() const { return true; }

    /// Where `length` bytes from `from` on may be written; the answer may be for fewer.
    virtual Result<Placement> place(GuestOffset from, u64 length) = 0;
    /// Makes a fresh placement part of the image, or gives it back.
    virtual Status publish(const Placement& placement) = 0;
    virtual void abandon(const Placement& placement) = 0;

    /// Makes bytes from `from` on read as zero without writing them; returns for how many it could.
    virtual Result<u64> place_zeroes(GuestOffset from, u64 length) = 0;
    /// The same, but they stay zero whatever backing file the image is given later: not by having
    /// nothing there. 0 where the format has no such thing.
    virtual Result<u64> place_own_zeroes(GuestOffset from, u64 length)
    {
        return info().backing_name.empty() ? Result<u64>{u64{0}} : place_zeroes(from, length);
    }

    /// The block size and codec of compressed writes, if the format has them.
    struct Packing {
        u64 block_size; // bytes
        Codec codec;
        bool always = false; // blocks cannot be stored in any other way, however long they get
    };
    virtual std::optional<Packing> packing() const { return std::nullopt; }
    /// Stores the block at `block` (aligned) in its compressed form.
    virtual Status write_packed(GuestOffset block, std::span<const u8> packed)
    {
        (void)block;
        (void)packed;
        return base::fail(base::Errc::unsupported, "this format does not support compression");
    }

    /// On return everything written is on stable storage, metadata after the data it describes.
    virtual Status flush() = 0;

    virtual ImageInfo info() = 0;

    /// Whether an image that was just made, without a backing file, reads as zero.
    virtual bool is_zero_when_new() const { return true; }

    /// Bytes of host storage in use, of all the image's files.
    virtual u64 allocated() { return file().allocated(); }

    /// Makes the disk `size` bytes long; what is new reads as zero, even where a backing file is
    /// longer (but see ChainDisk::resize).
    virtual Status resize(u64 size, Preallocate how);

    /// Tells how long the disk below is, which resize() must hide where it grows over it.
    void set_backing_size(u64 bytes) { backing_size_ = bytes; }

    /// Refers to another backing file (empty: none) without touching any data.
    virtual Status set_backing(const std::string& name, const std::string& format);

    /// Whether `backing` is the image that this one was made on top of, where the format can tell.
    virtual Status check_backing(Image& backing)
    {
        (void)backing;
        return base::ok();
    }

    /// Gives up all the image's own data, so that all bytes are the backing file's. Says false when
    /// the format cannot; the caller then writes instead.
    virtual Result<bool> make_empty() { return false; }

    /// Changes settings of FormatDriver::amend_options (completed as for create, but only those
    /// given). `force` allows what may lose access to the data.
    virtual Status amend(const CreateSettings& settings, OpenContext& context, bool force);

    // Internal snapshots, found by ID or else by name. Listed by info().
    virtual Status create_snapshot(const std::string& name, const SnapshotTime& now);
    virtual Status apply_snapshot(const std::string& id_or_name);
    virtual Status delete_snapshot(const std::string& id_or_name);
    /// From now on the image reads as that snapshot does, and cannot be written.
    virtual Status view_snapshot(const std::string& id_or_name);

    /// The persistent dirty bitmaps; null where the format has none.
    virtual BitmapStore* bitmaps() { return nullptr; }

    /// Errors: `unsupported` where the format has nothing to check.
    virtual Result<CheckReport> check(Repair repair, const ProblemSink& problem)
    {
        (void)repair;
        (void)problem;
        return base::fail(base::Errc::unsupported, "This image format does not support checks");
    }
    /// Whether scripts expect check() of the format. Where qemu-img has none, a check is made only
    /// when asked for with --full or a repair.
    virtual bool checks_by_default() const { return true; }

protected:
    u64 backing_size() const { return backing_size_; }

private:
    u64 backing_size_ = 0; // bytes; 0: there is no disk below
};

} // namespace img
