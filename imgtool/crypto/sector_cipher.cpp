#include "imgtool/crypto/sector_cipher.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <array>

namespace img::crypto {

namespace {

using base::Errc;
using base::fail;
using Direction = BlockCipher::Direction;

class AesSectorCipher final : public SectorCipher {
public:
    AesSectorCipher(IvKind iv, BlockCipher encryption, BlockCipher decryption,
                    std::optional<BlockCipher> essiv)
        : iv_{iv}, encryption_{std::move(encryption)},
          decryption_{std::move(decryption)}, essiv_{std::move(essiv)}
    {}

    Status encrypt(u64 position, std::span<u8> bytes) const override
    {
        return run(encryption_, position, bytes);
    }
    Status decrypt(u64 position, std::span<u8> bytes) const override
    {
        return run(decryption_, position, bytes);
    }

private:
    Status run(const BlockCipher& direction, u64 position, std::span<u8> bytes) const
    {
        // A copy for each call: a cipher's state belongs to one thread.
        auto cipher = direction.copy();
        if (!cipher) {
            return std::move(cipher).error();
        }
        std::optional<BlockCipher> essiv;
        if (essiv_) {
            auto copied = essiv_->copy();
            if (!copied) {
                return std::move(copied).error();
            }
            essiv = std::move(copied).value();
        }
        for (u64 sector = position / kSectorSize; !bytes.empty(); ++sector) {
            std::array<u8, 16> iv{};
            if (iv_ != IvKind::none) {
                base::store_le<u64>(iv, 0, iv_ == IvKind::plain ? sector & UINT32_MAX : sector);
            }
            if (essiv) {
                if (auto done = essiv->run(std::array<u8, 16>{}, iv); !done) {
                    return done;
                }
            }
            if (auto done = cipher.value().run(iv, bytes.first(kSectorSize)); !done) {
                return done;
            }
            bytes = bytes.subspan(kSectorSize);
        }
        return base::ok();
    }

    IvKind iv_;
    BlockCipher encryption_;
    BlockCipher decryption_;
    std::optional<BlockCipher> essiv_;
};

} // namespace

std::optional<Mode> find_mode(std::string_view name)
{
    return name == "ecb"   ? std::optional{Mode::ecb}
           : name == "cbc" ? std::optional{Mode::cbc}
           : name == "xts" ? std::optional{Mode::xts}
                           : std::nullopt;
}

std::optional<IvKind> find_iv(std::string_view name)
{
    return name == "plain64" ? std::optional{IvKind::plain64}
           : name == "plain" ? std::optional{IvKind::plain}
           : name == "essiv" ? std::optional{IvKind::essiv}
           : name.empty()    ? std::optional{IvKind::none}
                             : std::nullopt;
}

Result<std::unique_ptr<SectorCipher>> make_cipher(const CipherSpec& spec, std::span<const u8> key)
{
    auto encryption = BlockCipher::aes(spec.mode, key, Direction::encrypt);
    if (!encryption) {
        return std::move(encryption).error();
    }
    auto decryption = BlockCipher::aes(spec.mode, key, Direction::decrypt);
    if (!decryption) {
        return std::move(decryption).error();
    }
    std::optional<BlockCipher> essiv;
    if (spec.iv == IvKind::essiv) {
        std::vector<u8> salt(digest_size(spec.iv_hash));
        if (auto done = digest(spec.iv_hash, key, salt); !done) {
            return std::move(done).error();
        }
        auto made = BlockCipher::aes(Mode::ecb, salt, Direction::encrypt);
        if (!made) {
            return std::move(made).error();
        }
        essiv = std::move(made).value();
    }
    return std::unique_ptr<SectorCipher>{std::make_unique<AesSectorCipher>(
        spec.iv, std::move(encryption).value(), std::move(decryption).value(), std::move(essiv))};
}

Result<std::unique_ptr<SectorCipher>> make_qcow_cipher(std::string_view passphrase)
{
    std::array<u8, 16> key{};
    std::copy_n(passphrase.begin(), std::min(passphrase.size(), key.size()), key.begin());
    return make_cipher({.mode = Mode::cbc, .iv = IvKind::plain64}, key);
}

} // namespace img::crypto
