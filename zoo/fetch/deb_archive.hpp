// Debian packages of any architecture through this machine's own apt sources.
//
// apt runs with private state, so that the system's package lists, architectures and cache stay as
// they are, and no privileges are needed. It reads the system's sources and keyrings, and verifies
// the archive's signature and the package's digest itself.
#pragma once

#include "zoo/fetch/deb_url.hpp"
#include "zoo/host/file.hpp"

#include <functional>
#include <string>

namespace zoo {

struct DebOptions {
    /// Lines of apt.conf(5) that replace the system's sources; for tests.
    std::string extra_configuration;
};

struct DebFile {
    std::filesystem::path path; // to be removed by the caller
    std::string package;
    std::string version;
};

class DebArchive {
public:
    /// `folder` holds apt's private state, one sub-folder for each architecture.
    DebArchive(std::filesystem::path folder, DebOptions options)
        : folder_{std::move(folder)}, options_{std::move(options)}
    {}

    /// Downloads the package; with no version, the one that apt prefers.
    base::Result<DebFile> download(const DebUrl& url, const std::function<void(std::string)>& note);

    /// The name of the first dependency of the package that matches the glob.
    base::Result<std::string> dependency(const DebUrl& url, const std::string& glob,
                                         const std::function<void(std::string)>& note);

private:
    std::filesystem::path folder_;
    DebOptions options_;
};

} // namespace zoo
