// LUKS On-Disk Format Specification, sections "Adding new passwords", "Master key recovery" and
// "Password revocation".
#include "imgtool/crypto/luks_slots.hpp"

#include "imgtool/crypto/af_splitter.hpp"
#include "imgtool/crypto/passphrase.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <optional>

namespace img::crypto::luks {

namespace {

using base::Errc;
using base::fail;

double cpu_ms()
{
    std::timespec now = {};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

u64 material_at(const LuksPlace& place, const Header& header, std::size_t index)
{
    return place.at + u64{header.slots[index].material_sector} * kSector;
}

/// Bytes of a slot's split key in the file: whole sectors.
u64 material_size(const Header& header)
{
    return (header.split_size() + kSector - 1) / kSector * kSector;
}

/// The cipher of a slot's split key.
Result<std::unique_ptr<SectorCipher>> slot_cipher(const Header& header, const Meaning& meaning,
                                                  const Slot& slot, const std::string& passphrase)
{
    std::vector<u8> key(header.key_bytes);
    if (auto done = pbkdf2(meaning.hash, passphrase, slot.salt, slot.iterations, key); !done) {
        return std::move(done).error();
    }
    return make_cipher(meaning.cipher, key);
}

/// The header comes last when a slot is filled and first when one is erased.
Status write_header(const LuksPlace& place, const Header& header)
{
    if (auto flushed = place.file.flush(); !flushed) {
        return flushed;
    }
    if (auto done = place.file.write(FileOffset{place.at}, encode(header)); !done) {
        return done;
    }
    return place.file.flush();
}

} // namespace

Result<u32> count_iterations(Hash hash, std::size_t key_bytes, u64 milliseconds)
{
    // Long enough to be told apart from the clock's grain, and little beside what is asked for.
    const double enough = std::clamp(static_cast<double>(milliseconds) / 10, 1.0, 100.0);
    std::vector<u8> key(key_bytes);
    const std::array<u8, kSaltSize> salt{};
    for (u32 n = 1024;; n *= 2) {
        const double start = cpu_ms();
        if (auto done = pbkdf2(hash, "passphrase", salt, n, key); !done) {
            return std::move(done).error();
        }
        const double took = cpu_ms() - start;
        if (took >= enough || n >= u32{1} << 30) {
            const double per_ms = n / std::max(took, 0.001);
            const double wanted = per_ms * static_cast<double>(milliseconds);
            return static_cast<u32>(
                std::clamp(wanted, double{kMinIterations}, static_cast<double>(INT32_MAX)));
        }
    }
}

Result<std::vector<u8>> open_slot(const LuksPlace& place, const Header& header, std::size_t index,
                                  const std::string& passphrase)
{
    const Slot& slot = header.slots[index];
    if (!slot.active) {
        return std::vector<u8>{};
    }
    auto meaning = meaning_of(header);
    if (!meaning) {
        return std::move(meaning).error();
    }
    auto cipher = slot_cipher(header, meaning.value(), slot, passphrase);
    if (!cipher) {
        return std::move(cipher).error();
    }
    std::vector<u8> split(material_size(header)); // at most 64 * 4000 bytes
    if (auto read = read_padded(place.file, FileOffset{material_at(place, header, index)}, split);
        !read) {
        return std::move(read).error();
    }
    if (auto done = cipher.value()->decrypt(0, split); !done) {
        return std::move(done).error();
    }
    split.resize(header.split_size());
    auto key = af_merge(meaning.value().hash, split, slot.stripes);
    if (!key) {
        return key;
    }
    auto good = is_key(header, key.value());
    if (!good) {
        return std::move(good).error();
    }
    return good.value() ? std::move(key).value() : std::vector<u8>{};
}

Status fill_slot(const LuksPlace& place, Header& header, std::size_t index, std::span<const u8> key,
                 const std::string& passphrase, u64 iter_time_ms)
{
    auto meaning = meaning_of(header);
    if (!meaning) {
        return std::move(meaning).error();
    }
    auto iterations = count_iterations(meaning.value().hash, header.key_bytes, iter_time_ms);
    if (!iterations) {
        return std::move(iterations).error();
    }
    Slot slot{.active = true,
              .iterations = iterations.value(),
              .material_sector = header.slots[index].material_sector};
    if (auto done = random_bytes(slot.salt); !done) {
        return done;
    }
    auto cipher = slot_cipher(header, meaning.value(), slot, passphrase);
    if (!cipher) {
        return std::move(cipher).error();
    }
    auto split = af_split(meaning.value().hash, key, slot.stripes);
    if (!split) {
        return std::move(split).error();
    }
    split.value().resize(material_size(header));
    if (auto done = cipher.value()->encrypt(0, split.value()); !done) {
        return done;
    }
    const FileOffset at{material_at(place, header, index)};
    if (auto done = place.file.write(at, split.value()); !done) {
        return done;
    }
    Header changed = header;
    changed.slots[index] = slot;
    if (auto done = write_header(place, changed); !done) {
        return done;
    }
    header = std::move(changed);
    return base::ok();
}

Status erase_slot(const LuksPlace& place, Header& header, std::size_t index)
{
    Header changed = header;
    changed.slots[index] = {.material_sector = header.slots[index].material_sector};
    if (auto done = write_header(place, changed); !done) {
        return done;
    }
    header = std::move(changed);
    std::vector<u8> noise(material_size(header));
    if (auto done = random_bytes(noise); !done) {
        return done;
    }
    const FileOffset at{material_at(place, header, index)};
    if (auto done = place.file.write(at, noise); !done) {
        return done;
    }
    return place.file.flush();
}

} // namespace img::crypto::luks
