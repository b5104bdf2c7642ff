#include "imgtool/ops/staging.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

namespace img {

namespace {

using base::Errc;
using base::fail;

/// Makes a change of a folder's entries durable.
base::Status flush_folder(const std::string& path)
{
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool good = fd >= 0 && ::fsync(fd) == 0;
    const int error = errno;
    if (fd >= 0) {
        ::close(fd);
    }
    // Some file systems cannot; then there is nothing to wait for.
    return good || error == EINVAL ? base::ok()
                                   : base::Status{fail(Errc::io, std::strerror(error))};
}

} // namespace

Staging::Staging(std::string final_path, std::string folder)
    : final_{std::move(final_path)}, folder_{std::move(folder)}
{
    staged_ = folder_ + "/" + std::filesystem::path{final_}.filename().string();
}

Staging::Staging(Staging&& other) noexcept
    : final_{std::move(other.final_)}, folder_{std::exchange(other.folder_, {})},
      staged_{std::move(other.staged_)}
{}

Staging::~Staging()
{
    if (!folder_.empty()) {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
}

base::Result<Staging> Staging::next_to(const std::string& path)
{
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path real = fs::weakly_canonical(fs::absolute(path), error);
    if (error) {
        return fail(Errc::io, error.message());
    }
    const auto status = fs::status(real, error);
    if (fs::exists(status) && !fs::is_regular_file(status)) {
        return fail(Errc::invalid_argument, "it is there and not a plain file");
    }
    std::string folder = (real.parent_path() / ".imgtool-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) {
        return fail(Errc::io, std::strerror(errno));
    }
    return Staging{real.string(), std::move(folder)};
}

base::Status Staging::publish()
{
    if (::rename(staged_.c_str(), final_.c_str()) != 0) {
        return fail(Errc::io, std::strerror(errno));
    }
    return flush_folder(std::filesystem::path{final_}.parent_path().string());
}

} // namespace img
