#include "imgtool/source/quorum_source.hpp"

#include <algorithm>

namespace img {

namespace {

using base::Errc;
using base::fail;

Status refuse_write()
{
    return fail(Errc::unsupported, "writing to a quorum is not supported");
}

} // namespace

Status QuorumSource::read(FileOffset at, std::span<u8> into)
{
    struct Version {
        std::vector<u8> bytes;
        std::size_t votes;
    };
    std::vector<Version> versions;
    for (const auto& file : files_) {
        std::vector<u8> bytes(into.size());
        if (!file->read(at, bytes)) {
            continue; // its vote is lost
        }
        const auto same = std::ranges::find(versions, bytes, &Version::bytes);
        if (same == versions.end()) {
            versions.push_back({std::move(bytes), 1});
        } else {
            ++same->votes;
        }
    }
    const auto best = std::ranges::max_element(versions, {}, &Version::votes);
    if (best == versions.end() || best->votes < threshold_) {
        return fail(Errc::io, "Input/output error: too few files of the quorum agree");
    }
    std::ranges::copy(best->bytes, into.begin());
    return base::ok();
}

u64 QuorumSource::allocated() const
{
    u64 sum = 0;
    for (const auto& file : files_) {
        const u64 bytes = file->allocated();
        if (bytes == kUnknown) {
            return kUnknown;
        }
        sum += bytes;
    }
    return sum;
}

Status QuorumSource::write(FileOffset, std::span<const u8>)
{
    return refuse_write();
}

Status QuorumSource::zero(FileOffset, u64)
{
    return refuse_write();
}

Status QuorumSource::resize(u64)
{
    return refuse_write();
}

Status QuorumSource::reserve(FileOffset, u64)
{
    return refuse_write();
}

} // namespace img
