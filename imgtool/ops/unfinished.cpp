#include "imgtool/ops/unfinished.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

namespace img {

Unfinished::~Unfinished()
{
    namespace fs = std::filesystem;
    for (const std::string& path : paths_) {
        std::error_code error;
        const fs::path real = fs::canonical(path, error); // a link to the image stays
        if (!error && fs::is_regular_file(real, error)) {
            fs::remove(real, error);
        }
    }
}

void Unfinished::hand_to(Unfinished& other)
{
    std::ranges::move(std::exchange(paths_, {}), std::back_inserter(other.paths_));
}

} // namespace img
