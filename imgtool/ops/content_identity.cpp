#include "imgtool/ops/content_identity.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <array>

namespace img {

namespace {

constexpr std::size_t kHashSize = 32;

} // namespace

Result<std::unique_ptr<ContentIdentity>>
ContentIdentity::of(const std::vector<std::unique_ptr<ChainDisk>>& disks)
{
    Digest seed{.bytes = {}, .size = kHashSize};
    for (const auto& disk : disks) {
        auto hash = tree_hash(*disk);
        if (!hash) {
            return std::move(hash).error();
        }
        std::array<u8, 2 * kHashSize> both{};
        std::ranges::copy(seed.view(), both.begin());
        std::ranges::copy(hash.value().view(), both.begin() + kHashSize);
        if (auto done =
                crypto::digest(crypto::Hash::sha256, both, std::span{seed.bytes}.first(kHashSize));
            !done) {
            return std::move(done).error();
        }
    }
    return std::unique_ptr<ContentIdentity>{new ContentIdentity{seed}};
}

void ContentIdentity::random(std::span<u8> into) const
{
    while (!into.empty()) {
        std::array<u8, kHashSize + 8> input{};
        std::ranges::copy(seed_.view(), input.begin());
        base::store_be<u64>(input, kHashSize, counter_++);
        std::array<u8, kHashSize> made{};
        // It made the seed, so it works.
        (void)crypto::digest(crypto::Hash::sha256, input, made);
        const std::size_t n = std::min(into.size(), made.size());
        std::copy_n(made.begin(), n, into.begin());
        into = into.subspan(n);
    }
}

} // namespace img
