// Where the bytes of an image file are: a host file, memory, later other things.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "imgtool/source/debug_event.hpp"

#include <compare>
#include <span>
#include <string>

namespace img {

using base::Result;
using base::Status;
using base::u32;
using base::u64;
using base::u8;

/// A position in an image file. Not a GuestOffset, so that the two cannot be mixed up.
struct FileOffset {
    u64 bytes;
    auto operator<=>(const FileOffset&) const = default;
};

class ByteSource {
public:
    virtual ~ByteSource() = default;

    virtual const std::string& name() const = 0; // for messages
    virtual u64 size() const = 0;                // bytes
    virtual bool read_only() const = 0;
    /// Whether read() may be called from several threads at once while nobody writes.
    virtual bool concurrent() const { return false; }

    /// Whether the source is as long as it is, like a device: resize() does not move its end, and
    /// nothing can be written behind that. Then size() says nothing of where an image in it ends,
    /// and what the image did not write is not zero but what was there before.
    virtual bool fixed_size() const { return false; }

    /// Fills `into` completely or fails; there are no short reads.
    virtual Status read(FileOffset at, std::span<u8> into) = 0;
    /// Writes all of `from`, growing the file where it must.
    virtual Status write(FileOffset at, std::span<const u8> from) = 0;
    /// Makes a range read as zero, with holes where the host can. May grow the file.
    virtual Status zero(FileOffset at, u64 length) = 0;
    virtual Status resize(u64 size) = 0;
    /// Takes host storage for a range, which reads as zero where nothing was written.
    virtual Status reserve(FileOffset at, u64 length) = 0;
    /// Everything written so far is on stable storage.
    virtual Status flush() = 0;

    struct Run {
        bool data;  // false: a hole, reads as zero
        u64 length; // bytes, at least 1
        /// Of an export that is opened to look at a dirty bitmap of it: the bitmap is set here.
        bool marked = false;
    };
    /// Whether data or a hole begins at `at` (which must lie in the file), and how far it goes.
    virtual Result<Run> run_at(FileOffset at) = 0;

    /// Is told what the accesses that follow are for. Only files with faults listen.
    virtual void announce(DebugEvent event) { (void)event; }

    static constexpr u64 kUnknown = ~u64{0};
    /// Bytes of host storage in use, or kUnknown.
    virtual u64 allocated() const = 0;
};

/// Like read(), but what lies past the end of the file reads as zero.
Status read_padded(ByteSource& file, FileOffset at, std::span<u8> into);

/// How storage is taken ahead: not at all, in an image's tables only, by asking the host for it, or
/// by writing zeroes.
enum class Preallocate : u8 { none, metadata, reserve, write };
Status preallocate(ByteSource& file, FileOffset at, u64 length, Preallocate how);

/// Makes a file that ends with its disk `size` bytes long; what is new reads as zero and has
/// storage as `how` says. When that fails, the file is as long as it was.
Status resize_to(ByteSource& file, u64 size, Preallocate how);

/// Makes an empty file the raw image of an empty disk.
Status make_raw(ByteSource& file, u64 size, Preallocate how);

/// The same where nobody but the file can say that it is empty: one of a fixed size is made zero.
Status make_zero_raw(ByteSource& file, u64 size, Preallocate how);

} // namespace img
