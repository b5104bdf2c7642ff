// Persistent dirty bitmaps of an image: which parts of the disk were written since some moment.
#pragma once

#include "imgtool/image.hpp"

#include <string>
#include <vector>

namespace img {

struct BitmapInfo {
    std::string name;
    u64 granularity = 0;    // bytes of disk for a bit
    bool in_use = false;    // was not stored when the image was last closed: cannot be relied on
    bool automatic = false; // enabled: follows writes
};

class BitmapStore {
public:
    virtual ~BitmapStore() = default;

    virtual std::vector<BitmapInfo> list() = 0;
    /// Whether the image is of a version that can have bitmaps.
    virtual bool can_add() const = 0;
    /// Errors: `invalid_argument` for a name that is there already, a granularity that is no power
    /// of two from 512 to 2 GiB.
    virtual Status add(const std::string& name, u64 granularity, bool enabled) = 0;
    virtual Status remove(const std::string& name) = 0;
    virtual Status clear(const std::string& name) = 0;
    virtual Status set_enabled(const std::string& name, bool enabled) = 0;
    /// Whether each `granularity` bytes of the disk are dirty, from the beginning of the disk on.
    virtual Result<std::vector<bool>> load(const std::string& name) = 0;
    /// Sets the bits of `name` from those of a bitmap of another granularity, in addition to its
    /// own.
    virtual Status merge(const std::string& name, const std::vector<bool>& bits,
                         u64 granularity) = 0;
};

} // namespace img
