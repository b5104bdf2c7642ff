// Files that appear under their name whole or not at all.
#pragma once

#include "base/result.hpp"

#include <string>

namespace img {

/// A place next to a file that is to be made or replaced. What is made there goes away with this
/// object, unless it is published. Files have their final names there, because some images name
/// themselves.
class Staging {
public:
    /// For making the file at `path`. Refuses to replace what is not a plain file.
    static base::Result<Staging> next_to(const std::string& path);

    Staging(Staging&& other) noexcept;
    Staging& operator=(Staging&&) = delete;
    ~Staging();

    /// Where to make it.
    const std::string& path() const { return staged_; }
    /// Moves the file, whose bytes are on stable storage, to its place.
    base::Status publish();

private:
    Staging(std::string final_path, std::string folder);

    std::string final_; // with all links followed
    std::string folder_;
    std::string staged_;
};

} // namespace img
