// Opening and making disks: what emulator, zoo and the command line call.
#pragma once

#include "base/result.hpp"
#include "imgtool/chain/chain.hpp"
#include "imgtool/disk.hpp"
#include "imgtool/format.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace img {

namespace node {
class Options; // imgtool/node/options.hpp
}

/// Which other files an image may make us open. An image is untrusted input: a backing name in it
/// is followed only through here.
struct BackingPolicy {
    /// Whether the file at `path` may be opened. Unset: any plain file name.
    /// Never asked about names with a protocol ("nbd:", "json:").
    std::function<bool(const std::string& path)> allow = {};
    /// Whether backing names may be "json:{...}" or have a protocol ("nbd://host/disk"): the image
    /// then chooses which hosts are talked to, and may name any file past `allow`. Even so only
    /// images may do that whose format the caller or the image above them declared, or which the
    /// caller named; never what was found by probing a backing file. Names of other files than
    /// backing files (an external data file, extents) are plain file names always (CVE-2024-4467).
    bool nodes = false;
    /// A backing file whose format the image does not declare is probed. Found to be something
    /// other than raw, it may be what a guest wrote into a raw disk; then it may not name further
    /// files, unless this is set.
    bool trust_probed = false;
    /// Whether an image may name a file that its data is kept in ("data-file"), which is then read
    /// and written like the image itself. It must be a plain file name, and `allow` it too.
    bool trust_data_files = false;
};

/// A gate for BackingPolicy::allow: files in or below these folders, wherever links and ".." lead.
std::function<bool(const std::string& path)> only_inside(std::vector<std::string> folders);

struct OpenOptions {
    /// A host file, whatever its name looks like; what it is called when `node` is set.
    std::string path;
    /// How the image is reached when it is not simply the file `path`; see node/name.hpp.
    std::shared_ptr<const node::Options> node = {};
    int node_depth = 0;      // how many nodes this one is below the caller's
    std::string format = {}; // "raw", "qcow2"; empty: probed
    bool read_only = true;
    BackingPolicy backing = {};
    bool share = false;  // take no lock (`-U`)
    bool unsafe = false; // flush() does not wait for the disk (cache mode "unsafe")
    bool no_io = false;  // metadata only: no key is needed for encrypted images
    /// Passphrases of encrypted images; must outlive the disk's opening. Null: none.
    const Secrets* secrets = nullptr;
    /// Where images that mark themselves when written to take new IDs from.
    const Identity* identity = &Identity::of_host();
    /// Run-time options of the top image's format ("encrypt.key-secret").
    CreateSettings format_options = {};
};

/// Opens an image with its backing files. A raw image that was probed and is writable refuses
/// writes that would make it look like another format.
base::Result<std::unique_ptr<Disk>> open_disk(const OpenOptions& options);

/// The same, with all that commands want to know of the images in the chain.
base::Result<std::unique_ptr<ChainDisk>> open_chain(const OpenOptions& options,
                                                    OpenFor purpose = OpenFor::use);

/// Opens one image without its backing files.
base::Result<Layer> open_layer(const OpenOptions& options, OpenFor purpose);

/// Where the name of a backing file in the image at `path` leads: relative names are taken from the
/// image's folder. Error: `unsupported` for names with a protocol.
base::Result<std::string> resolve_backing(const std::string& path, const std::string& name);

struct RawCreateOptions {
    u64 size = 0; // bytes
    enum class Preallocation { off, falloc, full } preallocation = Preallocation::off;
};
base::Status create_raw(const std::string& path, const RawCreateOptions& options);

struct Qcow2CreateOptions {
    u64 size = 0; // bytes; 0 with a backing file: the size of that
    u64 cluster_size = 65536;
    int version = 3; // 2: compat=0.10, 3: compat=1.1
    unsigned refcount_bits = 16;
    bool lazy_refcounts = false;
    bool zstd = false; // codec of compressed clusters
    std::string backing_file = {};
    std::string backing_format = {};
    enum class Preallocation { off, metadata, falloc, full } preallocation = Preallocation::off;
};
base::Status create_qcow2(const std::string& path, const Qcow2CreateOptions& options);

/// A disk over `base` that keeps all writes to itself and throws them away when destroyed.
/// They are kept in memory, or in an unnamed file in `folder` when that is given.
base::Result<std::unique_ptr<Disk>> make_overlay(std::unique_ptr<Disk> base,
                                                 const std::string& folder = {});

} // namespace img
