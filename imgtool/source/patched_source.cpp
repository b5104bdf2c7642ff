#include "imgtool/source/patched_source.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace img {

namespace {

using base::Errc;
using base::fail;

} // namespace

/// What the file has, and zeroes where it is shorter than we say.
Status PatchedSource::read_file(u64 at, std::span<u8> into)
{
    return read_padded(*file_, FileOffset{at}, into);
}

Status PatchedSource::read(FileOffset at, std::span<u8> into)
{
    if (at.bytes > size_ || into.size() > size_ - at.bytes) {
        return fail(Errc::io, "read past the end of the file");
    }
    u64 pos = at.bytes;
    const u64 end = pos + into.size();
    auto patch = patches_.upper_bound(pos);
    if (patch != patches_.begin() && std::prev(patch)->second.end > pos) {
        --patch;
    }
    while (pos < end) {
        const bool patched = patch != patches_.end() && patch->first <= pos;
        const u64 next = patched ? patch->second.end : patch != patches_.end() ? patch->first : end;
        const auto part = into.subspan(pos - at.bytes, std::min(next, end) - pos);
        if (!patched) {
            if (auto done = read_file(pos, part); !done) {
                return done;
            }
        } else if (patch->second.bytes.empty()) {
            std::ranges::fill(part, u8{0});
        } else {
            std::ranges::copy(
                std::span{patch->second.bytes}.subspan(pos - patch->first, part.size()),
                part.begin());
        }
        pos += part.size();
        if (patched) {
            ++patch;
        }
    }
    return base::ok();
}

/// Makes a patch that goes over `at` two.
void PatchedSource::split_at(u64 at)
{
    auto patch = patches_.lower_bound(at);
    if (patch == patches_.begin() || (--patch)->second.end <= at) {
        return;
    }
    Patch& first = patch->second;
    Patch second{.end = first.end, .bytes = {}};
    if (!first.bytes.empty()) {
        const auto cut = first.bytes.begin() + static_cast<std::ptrdiff_t>(at - patch->first);
        second.bytes.assign(cut, first.bytes.end());
        first.bytes.erase(cut, first.bytes.end());
    }
    first.end = at;
    patches_.emplace(at, std::move(second));
}

void PatchedSource::clear(u64 begin, u64 end)
{
    split_at(begin);
    split_at(end);
    const auto first = patches_.lower_bound(begin);
    const auto last = patches_.lower_bound(end);
    for (auto patch = first; patch != last; ++patch) {
        kept_ -= patch->second.bytes.size();
    }
    patches_.erase(first, last);
}

Status PatchedSource::put(u64 at, Patch patch)
{
    if (patch.end == at) {
        return base::ok();
    }
    clear(at, patch.end);
    if (patch.bytes.size() > limit_ - kept_) {
        return fail(Errc::unsupported,
                    fmt::format("more than {} bytes of changes cannot be kept in memory", limit_));
    }
    kept_ += patch.bytes.size();
    size_ = std::max(size_, patch.end);
    patches_.emplace(at, std::move(patch));
    return base::ok();
}

Status PatchedSource::write(FileOffset at, std::span<const u8> from)
{
    return put(at.bytes, {.end = at.bytes + from.size(), .bytes = {from.begin(), from.end()}});
}

Status PatchedSource::zero(FileOffset at, u64 length)
{
    return put(at.bytes, {.end = at.bytes + length, .bytes = {}});
}

Status PatchedSource::resize(u64 size)
{
    if (size < size_) { // what is cut off does not come back with the next growth
        if (auto done = zero(FileOffset{size}, size_ - size); !done) {
            return done;
        }
    }
    size_ = size;
    return base::ok();
}

Status PatchedSource::reserve(FileOffset at, u64 length)
{
    size_ = std::max(size_, at.bytes + length);
    return base::ok();
}

Result<ByteSource::Run> PatchedSource::run_at(FileOffset at)
{
    const auto after = patches_.upper_bound(at.bytes);
    if (after != patches_.begin()) {
        const Patch& patch = std::prev(after)->second;
        if (patch.end > at.bytes) {
            return Run{.data = !patch.bytes.empty(), .length = patch.end - at.bytes};
        }
    }
    const u64 end = after != patches_.end() ? after->first : size_;
    if (at.bytes >= file_->size()) {
        return Run{.data = false, .length = end - at.bytes};
    }
    auto run = file_->run_at(at);
    if (run) {
        run.value().length = std::min(run.value().length, end - at.bytes);
    }
    return run;
}

} // namespace img
