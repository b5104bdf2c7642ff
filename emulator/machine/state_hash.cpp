#include "emulator/machine/state_hash.hpp"

#include "base/endian.hpp"
#include "emulator/memory/address_space.hpp"
#include "imgtool/disk.hpp"

#include <algorithm>
#include <cstring>
#include <openssl/evp.h>

namespace emu {

namespace {

constexpr std::size_t kPiece = 4096; // bytes of a disk or of memory hashed under one number

bool all_zero(std::span<const u8> bytes)
{
    // Comparing a buffer with itself one byte on leaves the loop to memcmp.
    return bytes.empty() ||
           (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

} // namespace

std::string to_hex(std::span<const u8> bytes)
{
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const u8 byte : bytes) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

struct StateHash::Digest {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~Digest() { EVP_MD_CTX_free(context); }
};

StateHash::StateHash() : digest_{std::make_unique<Digest>()}
{
    EVP_DigestInit_ex(digest_->context, EVP_sha256(), nullptr);
}

StateHash::~StateHash() = default;

void StateHash::raw(std::span<const u8> bytes)
{
    EVP_DigestUpdate(digest_->context, bytes.data(), bytes.size());
}

void StateHash::number(u64 value)
{
    std::array<u8, 8> bytes{};
    base::store_le<u64>(bytes, 0, value);
    raw(bytes);
}

void StateHash::tag(char kind, std::string_view name)
{
    const u8 byte = static_cast<u8>(kind);
    raw({&byte, 1});
    number(name.size());
    raw({reinterpret_cast<const u8*>(name.data()), name.size()});
}

void StateHash::section(std::string_view name)
{
    tag('s', name);
}

void StateHash::integer(std::string_view name, u64& value)
{
    tag('i', name);
    number(value);
}

void StateHash::bytes(std::string_view name, std::span<u8> value)
{
    tag('b', name);
    number(value.size());
    raw(value);
}

void StateHash::ram(RamBlock& block)
{
    tag('r', block.name());
    number(block.size());
    const std::span<const u8> all = block.bytes();
    for (std::size_t at = 0; at < all.size(); at += kPiece) {
        const auto page = all.subspan(at, std::min(kPiece, all.size() - at));
        if (!all_zero(page)) {
            number(at / kPiece);
            raw(page);
        }
    }
    number(~u64{0}); // no page has this number: the list is over
}

base::Status StateHash::disk(std::string_view name, img::Disk& disk)
{
    tag('d', name);
    number(disk.size());
    std::vector<u8> piece;
    auto visited = disk.visit_written([&](u64 offset, u64 length) -> base::Status {
        const u64 end = offset + length;
        while (offset < end) {
            const u64 size = std::min(end - offset, kPiece - offset % kPiece);
            piece.resize(size);
            if (auto read = disk.read(offset, piece); !read) {
                return read;
            }
            number(offset);
            number(size);
            raw(piece);
            offset += size;
        }
        return base::ok();
    });
    number(~u64{0});
    if (!visited) {
        return std::move(visited).error().in(std::string{name});
    }
    return base::ok();
}

Sha256 StateHash::finish()
{
    Sha256 result{};
    unsigned length = 0;
    EVP_DigestFinal_ex(digest_->context, result.data(), &length);
    return result;
}

} // namespace emu
