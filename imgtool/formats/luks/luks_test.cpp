#include "imgtool/formats/luks/luks.hpp"

#include "base/endian.hpp"
#include "imgtool/crypto/af_splitter.hpp"
#include "imgtool/crypto/luks.hpp"
#include "imgtool/formats/qcow/qcow.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/secret.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using img::test::need;

namespace {

using Bytes = std::shared_ptr<std::vector<u8>>;

Secrets secrets()
{
    Secrets s;
    s.add("good", "open sesame");
    s.add("other", "another one");
    s.add("third", "a third one");
    return s;
}

Bytes make(const FormatDriver& driver, CreateSettings settings)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    const Secrets known = secrets();
    CreateContext context{.make_sibling = {}, .secrets = &known};
    const auto made = driver.create(file, need(complete_settings(driver, settings)), context);
    if (!made) {
        FAIL(made.error().message);
    }
    return bytes;
}

Result<std::unique_ptr<Image>> open(const FormatDriver& driver, const Bytes& bytes,
                                    const CreateSettings& options, bool no_io = false)
{
    const Secrets known = secrets();
    OpenContext context{.secrets = &known, .options = options, .no_io = no_io};
    return driver.open(std::make_unique<MemorySource>(bytes), context);
}

std::unique_ptr<ChainDisk> disk_of(std::unique_ptr<Image> image)
{
    std::vector<Layer> layers;
    layers.push_back({.image = std::move(image), .path = "memory", .format = "luks"});
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

Bytes make_luks(const std::string& size = "64k")
{
    return make(luks::kDriver, {{"size", size}, {"key-secret", "good"}, {"iter-time", "1"}});
}

std::string refusal(const Bytes& bytes, const CreateSettings& options, bool no_io = false)
{
    const auto image = open(luks::kDriver, bytes, options, no_io);
    return image ? "accepted" : image.error().message;
}

template <class T>
std::string refusal_with(std::size_t offset, T value)
{
    static const Bytes good = make_luks("512");
    auto bytes = std::make_shared<std::vector<u8>>(*good);
    base::store_be<T>(*bytes, offset, value);
    return refusal(bytes, {}, true);
}

std::string amended(const Bytes& bytes, const std::string& key, const CreateSettings& settings,
                    bool force = false)
{
    auto image = need(open(luks::kDriver, bytes, {{"key-secret", key}}));
    const Secrets known = secrets();
    OpenContext context{.secrets = &known};
    const auto done = image->amend(settings, context, force);
    return done ? "done" : done.error().message;
}

} // namespace

TEST_CASE("luks: a split key is merged again, and any lost byte loses it")
{
    const std::vector<u8> key = test::noise(33, 5);
    auto split = need(crypto::af_split(crypto::Hash::sha1, key, 50));

    CHECK(split.size() == 50 * 33);
    CHECK(need(crypto::af_merge(crypto::Hash::sha1, split, 50)) == key);
    split[700] ^= 1;
    CHECK(need(crypto::af_merge(crypto::Hash::sha1, split, 50)) != key);
}

TEST_CASE("luks: what is written is read, by the right passphrase only")
{
    CreateSettings settings{{"size", "64k"}, {"key-secret", "good"}, {"iter-time", "1"}};
    SECTION("xts-plain64") {}
    SECTION("cbc-essiv:sha256")
    {
        settings.insert(settings.end(), {{"cipher-mode", "cbc"}, {"ivgen-alg", "essiv"}});
    }
    SECTION("192 bits, whose slots are no whole sectors")
    {
        settings.insert(settings.end(), {{"cipher-alg", "aes-192"}, {"cipher-mode", "cbc"}});
    }
    SECTION("sha1 and 128 bits")
    {
        settings.insert(settings.end(), {{"cipher-alg", "aes-128"}, {"hash-alg", "sha1"}});
    }
    const Bytes bytes = make(luks::kDriver, settings);
    std::vector<u8> mirror;
    {
        auto disk = disk_of(need(open(luks::kDriver, bytes, {{"key-secret", "good"}})));
        mirror = test::scribble(*disk, 7, 40, 5000);
        CHECK(test::read_all(*disk) == mirror);
    }

    auto disk = disk_of(need(open(luks::kDriver, bytes, {{"key-secret", "good"}})));
    CHECK(test::read_all(*disk) == mirror);
    CHECK(refusal(bytes, {{"key-secret", "other"}}) ==
          "Invalid password, cannot unlock any keyslot");
    CHECK(refusal(bytes, {{"key-secret", "none"}}) == "No secret with id 'none'");
    CHECK(refusal(bytes, {}) == "Parameter 'key-secret' is required for cipher");
    CHECK(refusal(bytes, {}, true) == "accepted");
}

TEST_CASE("luks: neighbours of what is written stay as they are")
{
    const Bytes bytes = make_luks();
    auto disk = disk_of(need(open(luks::kDriver, bytes, {{"key-secret", "good"}})));
    REQUIRE(disk->write(0, std::vector<u8>(2048, 7)));

    REQUIRE(disk->write(500, std::vector<u8>(530, 9)));

    std::vector<u8> expected(2048, 7);
    std::fill_n(expected.begin() + 500, 530, u8{9});
    std::vector<u8> got(2048);
    REQUIRE(disk->read(0, got));
    CHECK(got == expected);
    std::vector<u8> part(3);
    REQUIRE(disk->read(1028, part));
    CHECK(part == std::vector<u8>{9, 9, 7});
}

TEST_CASE("luks: info says what it is encrypted with")
{
    const Bytes bytes =
        make(luks::kDriver,
             {{"size", "1M"}, {"key-secret", "good"}, {"iter-time", "1"}, {"ivgen-alg", "essiv"}});
    const ImageInfo info = need(open(luks::kDriver, bytes, {}, true))->info();

    CHECK(info.encrypted);
    CHECK(info.size == 1048576);
    std::vector<std::string> keys;
    for (const Property& p : info.specific) {
        keys.push_back(p.key);
    }
    CHECK(keys == std::vector<std::string>{"ivgen-alg", "detached-header", "hash-alg", "cipher-alg",
                                           "uuid", "ivgen-hash-alg", "cipher-mode", "slots",
                                           "payload-offset", "master-key-iters"});
    CHECK(info.specific[8].text == "2068480");
    CHECK(info.specific[7].members.size() == 8);
}

TEST_CASE("luks header: each field that can lie is refused by name")
{
    CHECK(refusal_with<u8>(0, 'X') == "Volume is not in LUKS format");
    CHECK(refusal_with<base::u16>(6, 2) == "LUKS version 2 is not supported");
    CHECK(refusal_with<u64>(8, 0x666f'6f00'0000'0000) ==
          "Algorithm 'foo' with key size 64 bytes not supported");
    CHECK(refusal_with<u32>(104, 1) == "LUKS payload is overlapping with the header");
    CHECK(refusal_with<u32>(104, 0x7fff'ffff) == "LUKS payload is overlapping with the header");
    CHECK(refusal_with<u32>(108, 0) == "LUKS key of 0 bytes is not supported");
    CHECK(refusal_with<u32>(108, 0xffff'ffff) == "LUKS key of 4294967295 bytes is not supported");
    CHECK(refusal_with<u32>(108, 34) == "Algorithm 'aes' with key size 17 bytes not supported");
    CHECK(refusal_with<u32>(164, 0) == "LUKS key iteration count is zero");
    CHECK(refusal_with<u32>(208, 0) == "Keyslot 0 state (active/disable) is corrupted");
    CHECK(refusal_with<u32>(212, 0) == "Keyslot 0 iteration count is zero");
    CHECK(refusal_with<u32>(248, 0) == "Keyslot 0 is overlapping with the LUKS header");
    CHECK(refusal_with<u32>(248, 4000) == "Keyslot 0 is overlapping with the encrypted payload");
    CHECK(refusal_with<u32>(296, 8) == "Keyslots 0 and 1 are overlapping in the header");
    CHECK(refusal_with<u32>(252, 8) == "Keyslot 0 is corrupted (stripes 8 != 4000)");
    CHECK(refusal_with<u32>(40, 0x666f'6f00) == "cipher mode 'foo' is not supported");
    CHECK(refusal_with<u32>(72, 0x666f'6f00) == "Hash algorithm 'foo' not supported");
}

TEST_CASE("luks create: ciphers that we lack and names that nobody knows are refused")
{
    const auto refusal_of = [](const std::string& name, const std::string& value) {
        const auto settings = need(complete_settings(
            luks::kDriver, {{"size", "1M"}, {"key-secret", "good"}, {name, value}}));
        const auto good = luks::kDriver.check_settings(settings);
        return good ? "accepted" : good.error().message;
    };
    CHECK(refusal_of("cipher-alg", "serpent-256") == "Algorithm 'serpent-256' not supported");
    CHECK(refusal_of("cipher-alg", "foo") == "Parameter 'cipher-alg' does not accept value 'foo'");
    CHECK(refusal_of("cipher-mode", "ctr") == "Cipher mode 'ctr' is not supported");
    CHECK(refusal_of("hash-alg", "foo") == "Parameter 'hash-alg' does not accept value 'foo'");
    CHECK(refusal_of("ivgen-alg", "foo") == "Parameter 'ivgen-alg' does not accept value 'foo'");
    CHECK(refusal_of("cipher-mode", "cbc") == "accepted");
}

TEST_CASE("luks amend: passphrases are added, replaced and erased")
{
    const Bytes bytes = make_luks();
    const CreateSettings add{{"state", "active"}, {"new-secret", "other"}, {"iter-time", "1"}};
    CHECK(amended(bytes, "good", add) == "done");
    CHECK(refusal(bytes, {{"key-secret", "other"}}) == "accepted");
    CHECK(amended(bytes, "good", {{"state", "inactive"}, {"old-secret", "good"}}) == "done");
    CHECK(refusal(bytes, {{"key-secret", "good"}}) ==
          "Invalid password, cannot unlock any keyslot");
    CHECK(amended(bytes, "other", {{"state", "inactive"}, {"keyslot", "1"}}) ==
          "Attempt to erase the only active keyslot 1 which will erase all the data in the image "
          "irreversibly - refusing operation");
    CHECK(
        amended(bytes, "other", {{"state", "active"}, {"new-secret", "third"}, {"keyslot", "1"}}) ==
        "Refusing to overwrite active keyslot 1 - please erase it first");
    CHECK(amended(
              bytes, "other",
              {{"state", "active"}, {"new-secret", "third"}, {"keyslot", "1"}, {"iter-time", "1"}},
              true) == "done");
    CHECK(refusal(bytes, {{"key-secret", "other"}}) ==
          "Invalid password, cannot unlock any keyslot");
    CHECK(amended(bytes, "third", {{"state", "inactive"}, {"keyslot", "8"}}) ==
          "Invalid keyslot 8 specified, must be between 0 and 7");
}

TEST_CASE("luks measure: the header and the data")
{
    const auto settings =
        need(complete_settings(luks::kDriver, {{"size", "1G"}, {"key-secret", "x"}}));

    Secrets secrets;
    Content content{.size = u64{1} << 30};
    content.secrets = &secrets;

    CHECK(luks::kDriver.measure(settings, content).error().message == "No secret with id 'x'");
    secrets.add("x", "passphrase");
    CHECK(need(luks::kDriver.measure(settings, content)).required == 1075810304);
}

TEST_CASE("encrypted qcow and qcow2: what is written is read, and is not there in clear")
{
    struct Case {
        const FormatDriver* driver;
        std::string method;
    };
    const Case c = GENERATE(Case{&qcow::kDriver, "aes"}, Case{&qcow2::kDriver, "aes"},
                            Case{&qcow2::kDriver, "luks"});
    CreateSettings settings{
        {"size", "300k"}, {"encrypt.format", c.method}, {"encrypt.key-secret", "good"}};
    if (c.method == "luks") {
        settings.emplace_back("encrypt.iter-time", "1");
    }
    const Bytes bytes = make(*c.driver, settings);
    const CreateSettings key{{"encrypt.key-secret", "good"}};
    std::vector<u8> mirror;
    {
        auto disk = disk_of(need(open(*c.driver, bytes, key)));
        CHECK(test::read_all(*disk) == std::vector<u8>(300 << 10));
        mirror = test::scribble(*disk, 9, 40, 30000);
        REQUIRE(disk->write(1000, std::vector<u8>(2000, 0x77)));
        std::fill_n(mirror.begin() + 1000, 2000, u8{0x77});
    }
    CHECK(test::read_all(*disk_of(need(open(*c.driver, bytes, key)))) == mirror);
    const std::vector<u8> sevens(64, 0x77);
    CHECK(std::search(bytes->begin(), bytes->end(), sevens.begin(), sevens.end()) == bytes->end());

    auto image = need(open(*c.driver, bytes, {}, true));
    CHECK(image->info().encrypted);
    const auto report = need(image->check(Repair::none, [](const std::string&) {}));
    CHECK(report.corruptions == 0);
    CHECK(report.leaks == 0);
    CHECK_FALSE(open(*c.driver, bytes, {}));
    CHECK_FALSE(open(*c.driver, bytes, {{"encrypt.key-secret", "none"}}));
}
