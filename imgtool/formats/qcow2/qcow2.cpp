#include "imgtool/formats/qcow2/qcow2.hpp"

#include "imgtool/formats/qcow2/qcow2_image.hpp"

#include <array>

namespace img::qcow2 {

namespace {

Probe probe(std::span<const u8> start)
{
    return has_magic(start) ? Probe::certain : Probe::no;
}

// In the order `-o help` prints them.
constexpr std::array kCreateOptions{
    CreateOption{"backing_file", "<str>", "File name of a base image"},
    CreateOption{"backing_fmt", "<str>", "Image format of the base image"},
    CreateOption{"cluster_size", "<size>", "qcow2 cluster size"},
    CreateOption{"compat", "<str>", "Compatibility level (v2 [0.10] or v3 [1.1])"},
    CreateOption{"compression_type", "<str>",
                 "Compression method used for image cluster compression"},
    CreateOption{"data_file", "<str>", "File name of an external data file"},
    CreateOption{"data_file_raw", "<bool (on/off)>",
                 "The external data file must stay valid as a raw image"},
    CreateOption{"encrypt.cipher-alg", "<str>", "Name of encryption cipher algorithm"},
    CreateOption{"encrypt.cipher-mode", "<str>", "Name of encryption cipher mode"},
    CreateOption{"encrypt.format", "<str>", "Encrypt the image, format choices: 'aes', 'luks'"},
    CreateOption{"encrypt.hash-alg", "<str>", "Name of encryption hash algorithm"},
    CreateOption{"encrypt.iter-time", "<num>", "Time to spend in PBKDF in milliseconds"},
    CreateOption{"encrypt.ivgen-alg", "<str>", "Name of IV generator algorithm"},
    CreateOption{"encrypt.ivgen-hash-alg", "<str>", "Name of IV generator hash algorithm"},
    CreateOption{"encrypt.key-secret", "<str>",
                 "ID of secret providing qcow AES key or LUKS passphrase"},
    CreateOption{"encryption", "<bool (on/off)>",
                 "Encrypt the image with format 'aes'. (Deprecated in favor of "
                 "encrypt.format=aes)"},
    CreateOption{"extended_l2", "<bool (on/off)>", "Extended L2 tables"},
    CreateOption{"extent_size_hint", "<size>", "Extent size hint for the image file, 0 to disable"},
    CreateOption{"lazy_refcounts", "<bool (on/off)>", "Postpone refcount updates"},
    CreateOption{"nocow", "<bool (on/off)>", "Turn off copy-on-write (valid only on btrfs)"},
    CreateOption{"preallocation", "<str>",
                 "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    CreateOption{"refcount_bits", "<num>", "Width of a reference count entry in bits"},
    CreateOption{"size", "<size>", "Virtual disk size"},
};

} // namespace

const FormatDriver kDriver{
    .name = "qcow2",
    .probe = probe,
    .open = Qcow2Image::open,
    .create_options = kCreateOptions,
};

} // namespace img::qcow2
