#include "imgtool/crypto/luks_layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace img::crypto::luks {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::store_be;

constexpr std::array<u8, 6> kMagic{'L', 'U', 'K', 'S', 0xba, 0xbe};
constexpr u32 kSlotEnabled = 0x00ac'71f3;
constexpr u32 kSlotDisabled = 0x0000'dead;

// Offsets of fields.
constexpr std::size_t kCipherName = 8;
constexpr std::size_t kCipherMode = 40;
constexpr std::size_t kHashSpec = 72;
constexpr std::size_t kNameSize = 32;
constexpr std::size_t kPayload = 104;
constexpr std::size_t kKeyBytes = 108;
constexpr std::size_t kDigest = 112;
constexpr std::size_t kDigestSalt = 132;
constexpr std::size_t kDigestIterations = 164;
constexpr std::size_t kUuid = 168;
constexpr std::size_t kUuidSize = 40;
constexpr std::size_t kFirstSlot = 208;
constexpr std::size_t kSlotSize = 48;

Result<std::string> text_at(std::span<const u8> b, std::size_t at, std::size_t size,
                            std::string_view what)
{
    const auto field = b.subspan(at, size);
    const auto end = std::ranges::find(field, u8{0});
    if (end == field.end()) {
        return fail(Errc::corrupt, fmt::format("LUKS header {} is not NUL terminated", what));
    }
    return std::string{field.begin(), end};
}

void store_text(std::span<u8> b, std::size_t at, std::size_t size, const std::string& text)
{
    std::copy_n(text.begin(), std::min(text.size(), size - 1),
                b.begin() + static_cast<std::ptrdiff_t>(at));
}

Status parse_names(Header& h, std::span<const u8> b)
{
    struct Text {
        std::string Header::*field;
        std::size_t at, size;
        std::string_view what;
    };
    constexpr std::array kTexts{
        Text{&Header::cipher_name, kCipherName, kNameSize, "cipher name"},
        Text{&Header::cipher_mode, kCipherMode, kNameSize, "cipher mode"},
        Text{&Header::hash_spec, kHashSpec, kNameSize, "hash spec"},
        Text{&Header::uuid, kUuid, kUuidSize, "UUID"},
    };
    for (const Text& text : kTexts) {
        auto value = text_at(b, text.at, text.size, text.what);
        if (!value) {
            return std::move(value).error();
        }
        h.*text.field = std::move(value).value();
    }
    return base::ok();
}

Result<Slot> parse_slot(std::span<const u8> b, std::size_t index)
{
    const u32 state = load_be<u32>(b, 0);
    if (state != kSlotEnabled && state != kSlotDisabled) {
        return fail(Errc::corrupt,
                    fmt::format("Keyslot {} state (active/disable) is corrupted", index));
    }
    Slot slot{.active = state == kSlotEnabled,
              .iterations = load_be<u32>(b, 4),
              .material_sector = load_be<u32>(b, 40),
              .stripes = load_be<u32>(b, 44)};
    std::copy_n(b.begin() + 8, kSaltSize, slot.salt.begin());
    if (slot.stripes != kStripes) {
        return fail(Errc::corrupt, fmt::format("Keyslot {} is corrupted (stripes {} != {})", index,
                                               slot.stripes, kStripes));
    }
    if (slot.active && slot.iterations == 0) {
        return fail(Errc::corrupt, fmt::format("Keyslot {} iteration count is zero", index));
    }
    return slot;
}

/// Nothing may lie over anything else: writes to one slot would destroy another.
Status check_places(const Header& h, u64 limit)
{
    const u64 length = (h.split_size() + kSector - 1) / kSector;
    const u64 header_sectors = (kHeaderSize + kSector - 1) / kSector;
    if (h.payload_sector < header_sectors || h.payload_offset() > limit) {
        return fail(Errc::corrupt, "LUKS payload is overlapping with the header");
    }
    for (std::size_t i = 0; i < kSlots; ++i) {
        const u64 begin = h.slots[i].material_sector;
        if (begin < header_sectors) {
            return fail(Errc::corrupt,
                        fmt::format("Keyslot {} is overlapping with the LUKS header", i));
        }
        if (begin + length > h.payload_sector) {
            return fail(Errc::corrupt,
                        fmt::format("Keyslot {} is overlapping with the encrypted payload", i));
        }
        for (std::size_t j = i + 1; j < kSlots; ++j) {
            const u64 other = h.slots[j].material_sector;
            if (begin < other + length && other < begin + length) {
                return fail(Errc::corrupt,
                            fmt::format("Keyslots {} and {} are overlapping in the header", i, j));
            }
        }
    }
    return base::ok();
}

/// Ciphers that QEMU knows by the names in headers. Of these we have AES.
constexpr std::array<std::string_view, 4> kOtherCiphers{"cast5", "serpent", "twofish", "des3_ede"};

} // namespace

bool has_magic(std::span<const u8> start)
{
    return start.size() >= 8 && std::ranges::equal(start.first(kMagic.size()), kMagic) &&
           load_be<base::u16>(start, 6) == 1;
}

Result<Header> parse(std::span<const u8> b, u64 limit)
{
    if (b.size() < kHeaderSize || !std::ranges::equal(b.first(kMagic.size()), kMagic)) {
        return fail(Errc::wrong_format, "Volume is not in LUKS format");
    }
    if (const auto version = load_be<base::u16>(b, 6); version != 1) {
        return fail(Errc::unsupported, fmt::format("LUKS version {} is not supported", version));
    }
    Header h;
    if (auto parsed = parse_names(h, b); !parsed) {
        return std::move(parsed).error();
    }
    h.payload_sector = load_be<u32>(b, kPayload);
    h.key_bytes = load_be<u32>(b, kKeyBytes);
    h.digest_iterations = load_be<u32>(b, kDigestIterations);
    std::copy_n(b.begin() + kDigest, kDigestSize, h.digest.begin());
    std::copy_n(b.begin() + kDigestSalt, kSaltSize, h.digest_salt.begin());
    if (h.key_bytes == 0 || h.key_bytes > kMaxKeySize) {
        return fail(Errc::corrupt,
                    fmt::format("LUKS key of {} bytes is not supported", h.key_bytes));
    }
    if (h.digest_iterations == 0) {
        return fail(Errc::corrupt, "LUKS key iteration count is zero");
    }
    for (std::size_t i = 0; i < kSlots; ++i) {
        auto slot = parse_slot(b.subspan(kFirstSlot + i * kSlotSize, kSlotSize), i);
        if (!slot) {
            return std::move(slot).error();
        }
        h.slots[i] = slot.value();
    }
    if (auto good = check_places(h, limit); !good) {
        return std::move(good).error();
    }
    return h;
}

std::vector<u8> encode(const Header& h)
{
    std::vector<u8> b(kHeaderSize);
    std::ranges::copy(kMagic, b.begin());
    store_be<base::u16>(b, 6, 1);
    store_text(b, kCipherName, kNameSize, h.cipher_name);
    store_text(b, kCipherMode, kNameSize, h.cipher_mode);
    store_text(b, kHashSpec, kNameSize, h.hash_spec);
    store_be<u32>(b, kPayload, h.payload_sector);
    store_be<u32>(b, kKeyBytes, h.key_bytes);
    std::ranges::copy(h.digest, b.begin() + kDigest);
    std::ranges::copy(h.digest_salt, b.begin() + kDigestSalt);
    store_be<u32>(b, kDigestIterations, h.digest_iterations);
    store_text(b, kUuid, kUuidSize, h.uuid);
    for (std::size_t i = 0; i < kSlots; ++i) {
        const Slot& slot = h.slots[i];
        const std::size_t at = kFirstSlot + i * kSlotSize;
        store_be<u32>(b, at, slot.active ? kSlotEnabled : kSlotDisabled);
        store_be<u32>(b, at + 4, slot.iterations);
        std::ranges::copy(slot.salt, b.begin() + static_cast<std::ptrdiff_t>(at + 8));
        store_be<u32>(b, at + 40, slot.material_sector);
        store_be<u32>(b, at + 44, slot.stripes);
    }
    return b;
}

Result<Meaning> meaning_of(const Header& h)
{
    Meaning m;
    if (std::ranges::find(kOtherCiphers, h.cipher_name) != kOtherCiphers.end()) {
        return fail(Errc::unsupported, fmt::format("Algorithm '{}' not supported", h.cipher_name));
    }
    if (h.cipher_name != "aes") {
        return fail(Errc::unsupported,
                    fmt::format("Algorithm '{}' with key size {} bytes not supported",
                                h.cipher_name, h.key_bytes));
    }
    const std::size_t dash = h.cipher_mode.find('-');
    const std::size_t colon = std::min(h.cipher_mode.find(':'), h.cipher_mode.size());
    m.mode = h.cipher_mode.substr(0, dash);
    if (dash != std::string::npos && dash < colon) {
        m.iv = h.cipher_mode.substr(dash + 1, colon - dash - 1);
        m.iv_hash = h.cipher_mode.substr(std::min(colon + 1, h.cipher_mode.size()));
    }
    const auto mode = find_mode(m.mode);
    const auto iv = find_iv(m.iv);
    if (!mode || !iv || (!m.iv_hash.empty() && !find_hash(m.iv_hash)) ||
        (*iv == IvKind::essiv && m.iv_hash.empty())) {
        return fail(Errc::unsupported,
                    fmt::format("cipher mode '{}' is not supported", h.cipher_mode));
    }
    const auto hash = find_hash(h.hash_spec);
    if (!hash) {
        return fail(Errc::unsupported,
                    fmt::format("Hash algorithm '{}' not supported", h.hash_spec));
    }
    const u32 key_bytes = *mode == Mode::xts ? h.key_bytes / 2 : h.key_bytes;
    if (key_bytes != 16 && key_bytes != 24 && key_bytes != 32) {
        return fail(Errc::unsupported,
                    fmt::format("Algorithm '{}' with key size {} bytes not supported",
                                h.cipher_name, key_bytes));
    }
    m.algorithm = fmt::format("aes-{}", key_bytes * 8);
    m.hash = *hash;
    m.cipher = {.mode = *mode, .iv = *iv};
    if (!m.iv_hash.empty()) {
        m.cipher.iv_hash = *find_hash(m.iv_hash);
    }
    return m;
}

} // namespace img::crypto::luks
