// Files of an image that is being made under its final name, as qemu-img makes them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace img {

/// Removes what it was told of, unless it is told to keep it: half an image must not be taken for a
/// whole one. Devices and the like are not removed.
class Unfinished {
public:
    Unfinished() = default;
    Unfinished(const Unfinished&) = delete;
    Unfinished& operator=(const Unfinished&) = delete;
    ~Unfinished();

    void add(std::string path) { paths_.push_back(std::move(path)); }
    /// Leaves it to another to keep or remove them.
    void hand_to(Unfinished& other);
    void keep() { paths_.clear(); }

private:
    std::vector<std::string> paths_;
};

} // namespace img
