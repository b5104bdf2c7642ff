// IDs that are made of a disk's content: the same content has the same, other content others.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/identity.hpp"
#include "imgtool/ops/tree_hash.hpp"

#include <memory>
#include <vector>

namespace img {

/// Its "random" bytes are SHA-256(digest of the content || 0), SHA-256(digest || 1) and so on (the
/// counter in 8 bytes, the most significant first): each call goes on in the sequence. For one
/// thread at a time. The time is that of Identity::reproducible().
class ContentIdentity final : public Identity {
public:
    /// For the disks one after the other. Reads all of them (holes excepted).
    static Result<std::unique_ptr<ContentIdentity>>
    of(const std::vector<std::unique_ptr<ChainDisk>>& disks);

    void random(std::span<u8> into) const override;
    u64 now() const override { return Identity::reproducible().now(); }

private:
    explicit ContentIdentity(const Digest& seed) : seed_{seed} {}

    Digest seed_;
    mutable u64 counter_ = 0;
};

} // namespace img
