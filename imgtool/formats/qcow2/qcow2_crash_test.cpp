// Crash tests of qcow2: imgtool/tests/crash.hpp says what is done.
#include "imgtool/filter/compression.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using namespace img::qcow2;
using img::test::need;

namespace {

constexpr u64 kBlock = 4100; // bytes of each write

/// Stores the whole disk as compressed clusters of zeroes, which later writes give back.
void pack_all(const std::shared_ptr<std::vector<u8>>& bytes)
{
    auto image = need(open_alone(kDriver, std::make_unique<MemorySource>(bytes)));
    const u64 block = image->packing()->block_size;
    Packer packer{image->packing()->codec};
    std::vector<u8> packed(block - 1);
    const std::size_t n = packer.pack(std::vector<u8>(block), packed);
    for (u64 at = 0; at < image->size(); at += block) {
        REQUIRE(image->write_packed(GuestOffset{at}, std::span{packed}.first(n)));
    }
    REQUIRE(image->flush());
}

std::vector<u8> small_clusters(bool packed)
{
    // A refcount block of 512 bytes and 64 bits counts 64 clusters; a table cluster names 64 of
    // those: 2 MiB. The run makes the table move.
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    REQUIRE(qcow2::create(file, {.size = 2'300'000, .cluster_size = 512, .refcount_bits = 64}));
    if (packed) {
        pack_all(bytes);
    }
    return *bytes;
}

} // namespace

TEST_CASE("qcow2 crash: killed at any write, an image is sound and has what was flushed")
{
    const auto recording = test::record_writes(kDriver, small_clusters(false), kBlock, 1);

    CHECK(recording.log.size() > 1000);
    CHECK(test::check_prefixes(recording, 11) > 90);
}

TEST_CASE("qcow2 crash: with writes between flushes lost at random, the same holds")
{
    const bool packed = GENERATE(false, true);
    const auto recording = test::record_writes(kDriver, small_clusters(packed), kBlock, 2);

    CHECK(test::check_losses(recording, 3) > 100);
}
