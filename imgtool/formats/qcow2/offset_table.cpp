#include "imgtool/formats/qcow2/offset_table.hpp"

#include <algorithm>

namespace img::qcow2 {

namespace {

constexpr std::size_t kFewChanges = 1024;

} // namespace

void OffsetTable::set(u64 index, u64 entry)
{
    if (index >= entries_.size()) {
        entries_.resize(index + 1);
    }
    const u64 old = std::exchange(entries_[index], entry);
    if (indexed_ && place_of(old) != place_of(entry)) {
        --changes_[place_of(old)];
        ++changes_[place_of(entry)];
    }
}

std::vector<u64> OffsetTable::replace(std::vector<u64> entries)
{
    indexed_ = false;
    return std::exchange(entries_, std::move(entries));
}

void OffsetTable::trim()
{
    while (!entries_.empty() && entries_.back() == 0) {
        entries_.pop_back();
    }
}

void OffsetTable::build_index() const
{
    places_.resize(entries_.size());
    std::ranges::transform(entries_, places_.begin(), place_of);
    std::erase(places_, u64{0});
    std::ranges::sort(places_);
    changes_.clear();
    indexed_ = true;
}

bool OffsetTable::leads_to(u64 at) const
{
    if (!indexed_ || changes_.size() > kFewChanges + places_.size() / 4) {
        build_index();
    }
    const auto [first, last] = std::equal_range(places_.begin(), places_.end(), at);
    const auto changed = changes_.find(at);
    return last - first + (changed != changes_.end() ? changed->second : 0) > 0;
}

} // namespace img::qcow2
