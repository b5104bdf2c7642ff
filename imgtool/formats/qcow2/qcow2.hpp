// qcow2, QEMU's own image format.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/formats/qcow2/encryption.hpp"

namespace img::qcow2 {

extern const FormatDriver kDriver;

/// What a new image is to be. Checked by create().
struct CreateParameters {
    u64 size = 0; // bytes of the virtual disk
    u32 version = 3;
    u64 cluster_size = 65536; // bytes
    u32 refcount_bits = 16;
    bool lazy_refcounts = false;
    Codec codec = Codec::raw_deflate;
    bool extended_l2 = false;
    std::string data_file = {};    // the name of an external data file; empty: none
    bool data_file_is_raw = false; // it is to be a raw image of the disk at all times
    std::string backing_name = {};
    std::string backing_format = {};
    EncryptionParameters encryption = {};
    enum class Preallocation : u8 {
        off,
        metadata,
        falloc,
        full
    } preallocation = Preallocation::off;
};

Status check_parameters(const CreateParameters& parameters);
/// Of those, what all sizes follow from: clusters and refcount widths.
Status check_cluster_size(const CreateParameters& parameters);
Status check_refcount_bits(const CreateParameters& parameters);

/// Makes an empty image in an empty file; `make_sibling` makes the data file, where there is one,
/// and `secrets` has the passphrase.
Status create(ByteSource& file, const CreateParameters& parameters,
              const OpenSibling& make_sibling = {}, const Secrets* secrets = nullptr);

/// The size of an image made so. `settings` are those the parameters came from.
Result<Measurement> measure(const CreateParameters& parameters, const CreateSettings& settings,
                            const Content& content);

} // namespace img::qcow2
