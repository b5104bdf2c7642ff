#include "imgtool/ops/copy_bitmaps.hpp"

#include "imgtool/bitmap.hpp"

#include <fmt/format.h>

namespace img {

namespace {

using base::Errc;
using base::fail;

Status copy_one(BitmapStore& from, BitmapStore& to, const BitmapInfo& info)
{
    if (auto made = to.add(info.name, info.granularity, info.automatic); !made) {
        return std::move(made).error().in(fmt::format("Failed to create bitmap {}", info.name));
    }
    auto bits = from.load(info.name);
    auto merged = bits ? to.merge(info.name, bits.value(), info.granularity)
                       : Status{std::move(bits).error()};
    if (!merged) {
        (void)to.remove(info.name);
        return std::move(merged).error().in(fmt::format("Failed to populate bitmap {}", info.name));
    }
    return base::ok();
}

} // namespace

std::string find_broken_bitmap(Image& image)
{
    BitmapStore* store = image.bitmaps();
    if (store != nullptr) {
        const std::vector<BitmapInfo> all = store->list();
        for (auto info = all.rbegin(); info != all.rend(); ++info) { // as qemu-img looks at them
            if (info->in_use) {
                return info->name;
            }
        }
    }
    return {};
}

Status copy_bitmaps(Image& from, Image& to, bool skip_broken,
                    const std::function<void(const std::string& name)>& skipped)
{
    BitmapStore* source = from.bitmaps();
    BitmapStore* target = to.bitmaps();
    if (source == nullptr || target == nullptr) {
        return fail(Errc::unsupported, "bitmaps are not supported by both images");
    }
    const std::vector<BitmapInfo> all = source->list();
    for (auto info = all.rbegin(); info != all.rend(); ++info) {
        if (info->in_use && skip_broken) {
            skipped(info->name);
        }
    }
    for (const BitmapInfo& info : all) {
        if (info.in_use && skip_broken) {
            continue;
        }
        if (info.in_use) {
            return fail(Errc::corrupt,
                        fmt::format("Cannot copy inconsistent bitmap '{}'", info.name));
        }
        if (auto copied = copy_one(*source, *target, info); !copied) {
            return copied;
        }
    }
    return base::ok();
}

} // namespace img
