#include "imgtool/crypto/luks.hpp"

#include "base/endian.hpp"
#include "imgtool/crypto/af_splitter.hpp"
#include "imgtool/crypto/luks_slots.hpp"
#include "imgtool/crypto/passphrase.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace img::crypto {

namespace {

using base::Errc;
using base::fail;
using luks::Header;

struct Algorithm {
    std::string_view name;
    std::string_view in_header; // empty: refused
    u32 key_bytes = 0;
};
constexpr std::array kAlgorithms{
    Algorithm{"aes-128", "aes", 16}, Algorithm{"aes-192", "aes", 24},
    Algorithm{"aes-256", "aes", 32}, Algorithm{"des", ""},
    Algorithm{"3des", ""},           Algorithm{"cast5-128", ""},
    Algorithm{"serpent-128", ""},    Algorithm{"serpent-192", ""},
    Algorithm{"serpent-256", ""},    Algorithm{"twofish-128", ""},
    Algorithm{"twofish-192", ""},    Algorithm{"twofish-256", ""},
};

base::Error bad_value(std::string_view name, const std::string& value)
{
    return fail(Errc::invalid_argument,
                fmt::format("Parameter '{}' does not accept value '{}'", name, value));
}

Status check_names(const LuksParameters& p)
{
    const auto* algorithm = std::ranges::find(kAlgorithms, p.algorithm, &Algorithm::name);
    if (algorithm == kAlgorithms.end()) {
        return bad_value("cipher-alg", p.algorithm);
    }
    if (!find_mode(p.mode) && p.mode != "ctr") {
        return bad_value("cipher-mode", p.mode);
    }
    if (!find_iv(p.iv) || p.iv.empty()) {
        return bad_value("ivgen-alg", p.iv);
    }
    if (!p.iv_hash.empty() && !find_hash(p.iv_hash)) {
        return bad_value("ivgen-hash-alg", p.iv_hash);
    }
    if (!find_hash(p.hash)) {
        return bad_value("hash-alg", p.hash);
    }
    if (algorithm->in_header.empty()) {
        return fail(Errc::unsupported, fmt::format("Algorithm '{}' not supported", p.algorithm));
    }
    if (p.mode == "ctr") {
        return fail(Errc::unsupported, "Cipher mode 'ctr' is not supported");
    }
    return base::ok();
}

Result<std::string> new_uuid()
{
    std::array<u8, 16> b{};
    if (auto done = random_bytes(b); !done) {
        return std::move(done).error();
    }
    b[6] = static_cast<u8>((b[6] & 0x0f) | 0x40); // RFC 4122, section 4.4
    b[8] = static_cast<u8>((b[8] & 0x3f) | 0x80);
    std::string text;
    for (std::size_t i = 0; i < b.size(); ++i) {
        text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    }
    return text;
}

Result<std::array<u8, luks::kDigestSize>> key_digest(const Header& header, Hash hash,
                                                     std::span<const u8> key)
{
    std::array<u8, luks::kDigestSize> digest{};
    const std::string_view text{reinterpret_cast<const char*>(key.data()), key.size()};
    auto done = pbkdf2(hash, text, header.digest_salt, header.digest_iterations, digest);
    return done ? Result<std::array<u8, luks::kDigestSize>>{digest}
                : Result<std::array<u8, luks::kDigestSize>>{std::move(done).error()};
}

} // namespace

LuksParameters luks_parameters(const CreateSettings& settings, std::string_view prefix)
{
    LuksParameters p;
    const auto take = [&](std::string_view name, std::string& into) {
        const std::string value = value_of(settings, std::string{prefix} + std::string{name});
        into = value.empty() ? into : value;
    };
    take("cipher-alg", p.algorithm);
    take("cipher-mode", p.mode);
    take("ivgen-alg", p.iv);
    take("ivgen-hash-alg", p.iv_hash);
    take("hash-alg", p.hash);
    const std::string time = value_of(settings, std::string{prefix} + "iter-time");
    if (!time.empty()) {
        p.iter_time_ms = std::strtoull(time.c_str(), nullptr, 10); // checked when completed
    }
    return p;
}

Result<Header> plan_luks(const LuksParameters& p)
{
    if (auto good = check_names(p); !good) {
        return std::move(good).error();
    }
    const Algorithm& algorithm = *std::ranges::find(kAlgorithms, p.algorithm, &Algorithm::name);
    const bool essiv = p.iv == "essiv";
    const std::string iv_hash = essiv && p.iv_hash.empty() ? "sha256" : p.iv_hash;
    Header h;
    h.cipher_name = algorithm.in_header;
    h.cipher_mode = p.mode + "-" + p.iv + (iv_hash.empty() ? "" : ":" + iv_hash);
    h.hash_spec = p.hash;
    h.key_bytes = algorithm.key_bytes * (p.mode == "xts" ? 2 : 1);
    const u64 room = (h.split_size() + luks::kMaterialAlignment - 1) / luks::kMaterialAlignment *
                     luks::kMaterialAlignment;
    for (std::size_t i = 0; i < luks::kSlots; ++i) {
        h.slots[i].material_sector =
            static_cast<u32>((luks::kFirstMaterial + i * room) / luks::kSector);
    }
    h.payload_sector =
        static_cast<u32>((luks::kFirstMaterial + luks::kSlots * room) / luks::kSector);
    auto meaning = luks::meaning_of(h);
    if (!meaning) {
        return std::move(meaning).error();
    }
    return h;
}

Status create_luks(const LuksPlace& place, const LuksParameters& parameters,
                   const std::string& passphrase)
{
    auto planned = plan_luks(parameters);
    if (!planned) {
        return std::move(planned).error();
    }
    Header& header = planned.value();
    auto meaning = luks::meaning_of(header);
    if (!meaning) {
        return std::move(meaning).error();
    }
    std::vector<u8> key(header.key_bytes);
    for (const std::span<u8> random : {std::span<u8>{key}, std::span<u8>{header.digest_salt}}) {
        if (auto done = random_bytes(random); !done) {
            return done;
        }
    }
    auto uuid = new_uuid();
    if (!uuid) {
        return std::move(uuid).error();
    }
    header.uuid = std::move(uuid).value();
    // An eighth of the time for the digest, as the passphrase's own derivation is what counts.
    auto iterations = luks::count_iterations(meaning.value().hash, luks::kDigestSize,
                                             parameters.iter_time_ms / 8);
    if (!iterations) {
        return std::move(iterations).error();
    }
    header.digest_iterations = iterations.value();
    auto digest = key_digest(header, meaning.value().hash, key);
    if (!digest) {
        return std::move(digest).error();
    }
    header.digest = digest.value();
    return luks::fill_slot(place, header, 0, key, passphrase, parameters.iter_time_ms);
}

Result<Header> read_luks(const LuksPlace& place)
{
    std::array<u8, luks::kHeaderSize> start{};
    if (auto read = read_padded(place.file, FileOffset{place.at}, start); !read) {
        return std::move(read).error();
    }
    auto header = luks::parse(start, place.limit);
    if (header) {
        if (auto meaning = luks::meaning_of(header.value()); !meaning) {
            return std::move(meaning).error();
        }
    }
    return header;
}

Result<std::vector<u8>> unlock_luks(const LuksPlace& place, const Header& header,
                                    const std::string& passphrase)
{
    for (std::size_t i = 0; i < luks::kSlots; ++i) {
        auto key = luks::open_slot(place, header, i, passphrase);
        if (!key) {
            return std::move(key).error();
        }
        if (!key.value().empty()) {
            return std::move(key).value();
        }
    }
    return fail(Errc::invalid_argument, "Invalid password, cannot unlock any keyslot");
}

Result<std::unique_ptr<SectorCipher>> luks_cipher(const Header& header, std::span<const u8> key)
{
    auto meaning = luks::meaning_of(header);
    return meaning ? make_cipher(meaning.value().cipher, key)
                   : Result<std::unique_ptr<SectorCipher>>{std::move(meaning).error()};
}

std::vector<Property> describe_luks(const Header& header, bool format)
{
    using enum Property::Kind;
    const auto meaning = luks::meaning_of(header);
    if (!meaning) {
        return {};
    }
    const luks::Meaning& m = meaning.value();
    const auto of_number = [](std::string key, u64 n) {
        return Property{std::move(key), std::to_string(n), number};
    };
    std::vector<Property> out{{"ivgen-alg", m.iv},
                              {"detached-header", "false", boolean},
                              {"hash-alg", header.hash_spec},
                              {"cipher-alg", m.algorithm},
                              {"uuid", header.uuid}};
    if (m.cipher.iv == IvKind::essiv) {
        out.push_back({"ivgen-hash-alg", m.iv_hash});
    }
    if (format) {
        out.push_back({"format", "luks"});
    }
    out.push_back({"cipher-mode", m.mode});
    Property slots{"slots", "", list};
    for (const luks::Slot& slot : header.slots) {
        Property one{"", "", object};
        one.members.push_back({"active", slot.active ? "true" : "false", boolean});
        if (slot.active) {
            one.members.push_back(of_number("iters", slot.iterations));
        }
        one.members.push_back(of_number("key-offset", u64{slot.material_sector} * luks::kSector));
        if (slot.active) {
            one.members.push_back(of_number("stripes", slot.stripes));
        }
        slots.members.push_back(std::move(one));
    }
    out.push_back(std::move(slots));
    out.push_back(of_number("payload-offset", header.payload_offset()));
    out.push_back(of_number("master-key-iters", header.digest_iterations));
    return out;
}

namespace luks {

/// Whether it is the volume's key.
Result<bool> is_key(const Header& header, std::span<const u8> key)
{
    auto meaning = meaning_of(header);
    if (!meaning) {
        return std::move(meaning).error();
    }
    auto digest = key_digest(header, meaning.value().hash, key);
    if (!digest) {
        return std::move(digest).error();
    }
    return digest.value() == header.digest;
}

} // namespace luks

} // namespace img::crypto
