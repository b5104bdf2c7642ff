// What an image format is to the rest of the library: one FormatDriver each.
#pragma once

#include "imgtool/bitmap.hpp"
#include "imgtool/identity.hpp"
#include "imgtool/image.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace img {

class Secrets; // imgtool/secret.hpp

/// How sure a format is that a file is its own. Raw always says `possible`.
enum class Probe : u8 { no, possible, certain };

struct CreateOption {
    enum class Type : u8 { text, size, number, boolean };

    std::string_view name; // "cluster_size"
    Type type;
    std::string_view help;
    std::string_view preset = {}; // the default; empty: not set
};

/// Why an image is opened: a check may look at images that nothing else may.
enum class OpenFor : u8 { use, check };

/// Opens (or, for create, makes) a file that an image names, next to the image's own; whether it
/// may be opened is the caller's decision. The name may be empty: the user may have said where an
/// external data file is.
using OpenSibling = std::function<Result<std::unique_ptr<ByteSource>>(const std::string& name)>;

/// What opening an image needs beyond its file.
struct OpenContext {
    OpenFor purpose = OpenFor::use;
    /// Unset: images that name other files are refused.
    OpenSibling open_sibling = {};
    /// Whether there is a file of that name next to the image, which the caller would open. Unset:
    /// that cannot be told.
    std::function<bool(const std::string& name)> sibling_exists = {};
    /// Whether open_sibling() may be used for a file that the guest's data is kept in, where that
    /// is not what images of the format are always made of.
    bool trust_data_files = false;
    /// The user said where the data file is: open_sibling() opens that, whatever it is asked for.
    bool data_file_given = false;
    /// Passphrases; null: there are none.
    const Secrets* secrets = nullptr;
    /// The format's own run-time options, those of FormatDriver::open_options.
    CreateSettings options = {};
    /// Reads metadata only: encrypted images can be opened without their key.
    bool no_io = false;
    /// For formats that mark an image with new IDs when it is written to.
    const Identity* identity = &Identity::of_host();
    /// Is told how far a long change (Image::amend) is.
    std::function<void(u64 done, u64 total)> progress = {};
};

/// What making an image needs beyond its file.
struct CreateContext {
    OpenSibling make_sibling = {};
    /// Opens a file that is there, such as the backing file, for reading.
    OpenSibling open_sibling = {};
    const Secrets* secrets = nullptr;
    /// Where the file will end, whatever the image's length, when it is of a fixed size; 0: with
    /// the image. For what is looked for at the end.
    u64 file_end = 0; // bytes
    /// Random numbers and the time of creation.
    const Identity* identity = &Identity::of_host();
};

/// What an image needs of a host file.
struct Measurement {
    u64 required = 0;        // bytes of file for the data that is there
    u64 fully_allocated = 0; // bytes of file when every cluster is written
    std::optional<u64> bitmaps = {};
};

/// What is to be stored, for measure.
struct Content {
    u64 size = 0; // bytes of the disk
    /// Bytes that are data when disks are made of clusters of this size.
    std::function<Result<u64>(u64 cluster_size)> data_in_clusters = {};
    /// The persistent bitmaps to be kept; unset: the source's format has none.
    std::optional<std::vector<BitmapInfo>> bitmaps = {};
    /// Passphrases, for targets that are encrypted; null: there are none.
    const Secrets* secrets = nullptr;
};

/// One supported format. Each format folder exports one of these and formats/all.cpp lists them.
struct FormatDriver {
    std::string_view name; // as in `-f qcow2`

    /// `start` has the first kProbeSize bytes, `name` is the file's.
    Probe (*probe)(std::span<const u8> start, std::string_view name);
    Result<std::unique_ptr<Image>> (*open)(std::unique_ptr<ByteSource> file, OpenContext& context);

    /// Whether create() could do with these (completed) settings, before any file is touched. Null,
    /// as `create` is: the format is only read.
    Status (*check_settings)(const CreateSettings& settings) = nullptr;
    /// Makes an empty image in an empty file from completed settings.
    Status (*create)(ByteSource& file, const CreateSettings& settings,
                     CreateContext& context) = nullptr;
    /// In the order `create` prints them; those of host files (ops/file_options.hpp) follow.
    std::span<const CreateOption> create_options = {};
    std::span<const CreateOption> amend_options = {};
    /// Options for opening an image: "encrypt.key-secret". All others are refused before open(),
    /// which gets those given as OpenContext::options, checked by type as for create.
    std::span<const CreateOption> open_options = {};
    bool has_backing = false; // images may have backing files
    /// Names of further files are meant as seen from the working directory, not from the image.
    bool names_from_cwd = false;
    /// The size of an image made from completed settings; null: `measure` is refused.
    Result<Measurement> (*measure)(const CreateSettings& settings,
                                   const Content& content) = nullptr;
    /// False where no image has compressed blocks, so that `convert -c` can be refused before
    /// anything is made; Image::packing() has the last word.
    bool packs = true;
    /// The disk's bytes are the file's, so that a new image shows what a file that cannot be
    /// emptied (ByteSource::fixed_size) held. create() of all others sees such a file as an empty
    /// one.
    bool shows_old_bytes = false;
    /// create() follows "preallocation". The others' file is made with it while it is still empty.
    bool preallocates = false;
};

/// Opens an image that stands alone: no further files, keys or options.
inline Result<std::unique_ptr<Image>> open_alone(const FormatDriver& format,
                                                 std::unique_ptr<ByteSource> file,
                                                 OpenFor purpose = OpenFor::use)
{
    OpenContext context{.purpose = purpose};
    return format.open(std::move(file), context);
}

} // namespace img
