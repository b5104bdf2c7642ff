// Going to the background, in the way scripts expect: the command returns when the work is ready.
#pragma once

#include "base/result.hpp"

#include <optional>
#include <string>

namespace img::cli {

class Daemon {
public:
    /// Splits the process; call before there are threads. In the one that the caller started this
    /// returns its exit code, once the other has said that it is ready or has failed (with its
    /// messages on the standard error stream). In the other it returns nothing.
    base::Result<std::optional<int>> start();

    /// In the background process: lets the first one end, and leaves its terminal.
    void ready();

private:
    int told_ = -1; // where ready() is told
};

/// A file with the number of this process, removed with its owner.
class PidFile {
public:
    PidFile() = default;
    ~PidFile();
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;

    base::Status write(const std::string& path);

private:
    std::string path_;
};

} // namespace img::cli
