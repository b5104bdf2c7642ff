#include "imgtool/crypto/sector_cipher.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::crypto;
using img::test::need;

namespace {

std::string hex(std::span<const u8> bytes)
{
    std::string text;
    for (const u8 byte : bytes) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        text += {kDigits[byte >> 4], kDigits[byte & 15]};
    }
    return text;
}

std::span<const u8> bytes_of(std::string_view text)
{
    return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

} // namespace

TEST_CASE("crypto: hashes give the digests of FIPS 180-2, appendix B, and RFC 1321, appendix A.5")
{
    const auto of_abc = [](Hash hash) {
        std::vector<u8> out(digest_size(hash));
        REQUIRE(digest(hash, bytes_of("abc"), out));
        return hex(out);
    };
    CHECK(of_abc(Hash::sha1) == "a9993e364706816aba3e25717850c26c9cd0d89d");
    CHECK(of_abc(Hash::sha256) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(of_abc(Hash::md5) == "900150983cd24fb0d6963f7d28e17f72");
    CHECK(find_hash("sha512") == Hash::sha512);
    CHECK_FALSE(find_hash("whirlpool"));
}

TEST_CASE("crypto: PBKDF2 gives the keys of RFC 6070, section 2")
{
    std::array<u8, 20> key{};
    REQUIRE(pbkdf2(Hash::sha1, "password", bytes_of("salt"), 4096, key));

    CHECK(hex(key) == "4b007901b765489abead49d926f721d065a429c1");
    CHECK_FALSE(pbkdf2(Hash::sha1, "password", bytes_of("salt"), 0, key));
}

TEST_CASE("crypto: AES-XTS gives the text of IEEE 1619-2007, appendix B, vector 4")
{
    // Keys 2718281828459045 2353602874713526 and 3141592653589793 2384626433832795; unit 0.
    const std::array<u8, 32> key{0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60,
                                 0x28, 0x74, 0x71, 0x35, 0x26, 0x31, 0x41, 0x59, 0x26, 0x53, 0x58,
                                 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95};
    const auto cipher = need(make_cipher({.mode = Mode::xts, .iv = IvKind::plain64}, key));
    std::vector<u8> sector(512);
    for (std::size_t i = 0; i < sector.size(); ++i) {
        sector[i] = static_cast<u8>(i);
    }

    REQUIRE(cipher->encrypt(0, sector));

    CHECK(hex(std::span{sector}.first(16)) == "27a7479befa1d476489f308cd4cfa6e2");
    CHECK(hex(std::span{sector}.last(16)) == "0a282df920147beabe421ee5319d0568");
}

TEST_CASE("crypto: what is encrypted is decrypted, and a sector's place matters")
{
    const std::vector<u8> key = test::noise(64, 1);
    const std::vector<u8> clear = test::noise(1024, 2);
    const auto spec = GENERATE(CipherSpec{Mode::xts, IvKind::plain64, {}},
                               CipherSpec{Mode::cbc, IvKind::plain, {}},
                               CipherSpec{Mode::cbc, IvKind::essiv, Hash::sha256});
    const std::size_t key_bytes = spec.mode == Mode::xts ? 64 : 32;
    const auto cipher = need(make_cipher(spec, std::span{key}.first(key_bytes)));

    auto bytes = clear;
    REQUIRE(cipher->encrypt(5120, bytes));
    CHECK(bytes != clear);
    auto elsewhere = clear;
    REQUIRE(cipher->encrypt(5632, elsewhere));
    CHECK(elsewhere != bytes);
    REQUIRE(cipher->decrypt(5632, std::span{bytes}.subspan(512)));
    REQUIRE(cipher->decrypt(5120, std::span{bytes}.first(512)));

    CHECK(bytes == clear);
}

TEST_CASE("crypto: keys of other lengths and hashes that give no key are refused")
{
    const std::vector<u8> key(64);

    CHECK_FALSE(make_cipher({.mode = Mode::cbc}, std::span{key}.first(17)));
    CHECK_FALSE(make_cipher({.mode = Mode::xts}, std::span{key}.first(48)));
    CHECK_FALSE(make_cipher({.mode = Mode::cbc, .iv = IvKind::essiv, .iv_hash = Hash::sha1},
                            std::span{key}.first(16)));
}
