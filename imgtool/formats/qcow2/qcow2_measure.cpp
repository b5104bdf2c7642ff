// How large a qcow2 file will be, before it is made.
#include "imgtool/crypto/passphrase.hpp"
#include "imgtool/formats/qcow2/layout.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <string_view>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;

constexpr const char* kKeySecret = "encrypt.key-secret";

u64 round_up(u64 bytes, u64 unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/// Bytes of refcount blocks and their table, which count themselves, for that many other clusters.
u64 refcount_bytes(const Geometry& g, u64 clusters)
{
    const auto divide = [](u64 a, u64 b) { return a / b + (a % b != 0); };
    u64 blocks = 0;
    u64 table = 0;
    while (true) {
        const u64 new_blocks = divide(clusters + blocks + table, g.refblock_entries());
        const u64 new_table = divide(new_blocks * sizeof(u64), g.cluster_size());
        if (new_blocks == blocks && new_table == table) {
            return (blocks + table) << g.cluster_bits;
        }
        blocks = new_blocks;
        table = new_table;
    }
}

/// Bytes of file of an image whose clusters are all there; `disk` is in whole clusters.
u64 full_size(const Geometry& g, u64 disk)
{
    const u64 cluster = g.cluster_size();
    const u64 l2_bytes = round_up(disk / cluster * g.l2_entry_size(), cluster);
    const u64 l1_bytes = round_up(l2_bytes / cluster * sizeof(u64), cluster);
    const u64 used = cluster + l2_bytes + l1_bytes + disk; // with the header
    return used + refcount_bytes(g, used / cluster);
}

/// Bytes of a key of the ciphers that LUKS knows ("LUKS1 On-Disk Format Specification", 3.4 and
/// the names of the registry there).
struct Cipher {
    std::string_view name;
    u64 key_bytes;
};
constexpr std::array kCiphers{
    Cipher{"aes-128", 16},     Cipher{"aes-192", 24},     Cipher{"aes-256", 32},
    Cipher{"serpent-128", 16}, Cipher{"serpent-192", 24}, Cipher{"serpent-256", 32},
    Cipher{"twofish-128", 16}, Cipher{"twofish-192", 24}, Cipher{"twofish-256", 32},
    Cipher{"cast5-128", 16},   Cipher{"3des", 24}};

const std::string* find(const CreateSettings& settings, std::string_view name)
{
    const std::string* found = nullptr;
    for (const auto& [key, value] : settings) {
        found = key == name ? &value : found;
    }
    return found;
}

/// Bytes before the first encrypted sector: the LUKS header with the material of its key slots,
/// in whole clusters. 0 without LUKS.
Result<u64> encryption_size(const CreateSettings& settings, const Geometry& g,
                            const Secrets* secrets)
{
    constexpr u64 kSlots = 8;
    constexpr u64 kStripes = 4000;
    constexpr u64 kAlignment = 4096;
    const std::string* how = find(settings, "encrypt.format");
    if (how == nullptr || *how != "luks") {
        return u64{0};
    }
    const std::string secret = crypto::value_of(settings, kKeySecret);
    if (secret.empty()) {
        return fail(Errc::invalid_argument,
                    "Parameter 'encrypt.key-secret' is required for cipher");
    }
    const std::string* given = find(settings, "encrypt.cipher-alg");
    const std::string* mode = find(settings, "encrypt.cipher-mode");
    const std::string_view name = given != nullptr ? std::string_view{*given} : "aes-256";
    for (const Cipher& cipher : kCiphers) {
        if (cipher.name == name) {
            if (auto found = crypto::find_passphrase(secrets, secret, kKeySecret); !found) {
                return std::move(found).error();
            }
            const bool doubled = mode == nullptr || *mode == "xts"; // XTS has two keys
            const u64 material = cipher.key_bytes * (doubled ? 2 : 1) * kStripes;
            return round_up(kAlignment + kSlots * round_up(material, kAlignment), g.cluster_size());
        }
    }
    return fail(Errc::invalid_argument,
                fmt::format("Parameter 'cipher-alg' does not accept value '{}'", name));
}

/// Bytes of the directory, tables and bits of bitmaps (qcow2.txt, "Bitmaps").
u64 bitmap_size(const Geometry& g, u64 disk, const std::vector<BitmapInfo>& bitmaps)
{
    constexpr u64 kDirectoryEntry = 24; // bytes, and the name
    u64 directory = 0;
    u64 size = 0;
    for (const BitmapInfo& bitmap : bitmaps) {
        if (bitmap.in_use) {
            continue; // is not kept
        }
        const u64 bits = disk / bitmap.granularity + (disk % bitmap.granularity != 0);
        const u64 clusters = round_up((bits + 7) / 8, g.cluster_size()) >> g.cluster_bits;
        size += (clusters << g.cluster_bits) + round_up(clusters * sizeof(u64), g.cluster_size());
        directory += round_up(kDirectoryEntry + bitmap.name.size(), 8);
    }
    return size + round_up(directory, g.cluster_size());
}

} // namespace

Result<Measurement> measure(const CreateParameters& p, const CreateSettings& settings,
                            const Content& content)
{
    const Geometry g{.cluster_bits = static_cast<u32>(std::countr_zero(p.cluster_size)),
                     .refcount_order = static_cast<u32>(std::countr_zero(p.refcount_bits)),
                     .extended_l2 = p.extended_l2};
    auto encryption = encryption_size(settings, g, content.secrets);
    if (!encryption) {
        return std::move(encryption).error();
    }
    if (content.size > static_cast<u64>(INT64_MAX) - g.cluster_size() ||
        g.l1_entries(content.size) * sizeof(u64) > kMaxL1Bytes) {
        return fail(Errc::invalid_argument,
                    "The image size is too large (try using a larger cluster size)");
    }
    const u64 disk = round_up(content.size, g.cluster_size());
    u64 data = 0;
    // With a backing file, what there is of the disk there is not known.
    const bool all = !p.backing_name.empty() ||
                     p.preallocation == CreateParameters::Preallocation::falloc ||
                     p.preallocation == CreateParameters::Preallocation::full;
    if (all) {
        data = disk;
    } else if (content.data_in_clusters) {
        auto counted = content.data_in_clusters(g.cluster_size());
        if (!counted) {
            return std::move(counted).error();
        }
        data = counted.value();
    }
    const u64 full = full_size(g, disk) + encryption.value();
    Measurement m{.required = full - disk + data, .fully_allocated = full};
    if (content.bitmaps && p.version >= 3) {
        m.bitmaps = bitmap_size(g, content.size, *content.bitmaps);
    }
    return m;
}

} // namespace img::qcow2
