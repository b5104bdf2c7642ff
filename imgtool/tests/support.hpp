// What imgtool's tests share.
#pragma once

#include "imgtool/open.hpp"
#include "tests/skip.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace img::test {

using base::u32;
using base::u64;
using base::u8;

/// The value of a Result that must be there.
template <class T>
T need(base::Result<T> result)
{
    if (!result) {
        FAIL(result.error().message);
    }
    return std::move(result).value();
}

/// A folder that goes away with its owner.
class TempDir {
public:
    TempDir()
    {
        std::string name = (std::filesystem::temp_directory_path() / "imgtool-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~TempDir()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

struct Outcome {
    int code;
    std::string output; // standard output and error
};

inline Outcome run(const std::string& command)
{
    std::FILE* pipe = ::popen(("{ " + command + "; } 2>&1").c_str(), "re");
    REQUIRE(pipe != nullptr);
    Outcome outcome{.code = -1, .output = {}};
    std::array<char, 4096> piece{};
    while (const std::size_t n = std::fread(piece.data(), 1, piece.size(), pipe)) {
        outcome.output.append(piece.data(), n);
    }
    const int status = ::pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

/// Whether a program that a test needs is there; says when the test is skipped for that.
inline bool has_program(const std::string& program)
{
    // mke2fs and its like are not on every user's path.
    const bool found = run("PATH=$PATH:/usr/sbin:/sbin command -v " + program).code == 0;
    if (!found) {
        suite::skip(program + " is not installed");
    }
    return found;
}

inline void write_file(const std::string& path, std::span<const u8> bytes)
{
    std::ofstream file{path, std::ios::binary};
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    REQUIRE(file.good());
}

inline std::vector<u8> read_all(Disk& disk)
{
    std::vector<u8> bytes(disk.size());
    const auto done = disk.read(0, bytes);
    if (!done) {
        FAIL(done.error().message);
    }
    return bytes;
}

inline std::vector<u8> noise(std::size_t size, u32 seed)
{
    std::mt19937 generator{seed};
    std::vector<u8> bytes(size);
    for (u8& byte : bytes) {
        byte = static_cast<u8>(generator());
    }
    return bytes;
}

/// Writes and zeroes at random, with a flush now and then; returns what the disk then holds.
inline std::vector<u8> scribble(Disk& disk, u32 seed, int steps, u64 longest)
{
    std::vector<u8> mirror = read_all(disk);
    std::mt19937 random{seed};
    for (int i = 0; i < steps; ++i) {
        const u64 at = random() % disk.size();
        const u64 n = std::min<u64>(random() % longest + 1, disk.size() - at);
        const auto begin = mirror.begin() + static_cast<std::ptrdiff_t>(at);
        base::Status done = base::ok();
        if (random() % 4 == 0) {
            done = disk.write_zeroes(at, n);
            std::fill_n(begin, n, u8{0});
        } else {
            const std::vector<u8> bytes = noise(n, random());
            done = disk.write(at, bytes);
            std::copy(bytes.begin(), bytes.end(), begin);
        }
        if (done && random() % 20 == 0) {
            done = disk.flush();
        }
        if (!done) {
            FAIL(done.error().message);
        }
    }
    return mirror;
}

} // namespace img::test
