// What is done to files, written down, and the files that a kill or power cut would have left.
#pragma once

#include "imgtool/format.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace img::test {

/// What was done to a file, in order.
struct FileEvent {
    enum class Kind { write, zero, resize, flush } kind;
    u64 at = 0;
    u64 length = 0;
    std::vector<u8> bytes = {};
    std::string file = {};
};

/// The name of an image's own file; others are those that it names.
inline const std::string kImageFile = "memory";

/// Files in memory, by their names.
class MemoryFiles {
public:
    MemoryFiles() = default;
    MemoryFiles(std::vector<u8> image) // NOLINT: one file is the usual case
    {
        bytes(kImageFile) = std::move(image);
    }
    MemoryFiles(const MemoryFiles& other); // other bytes
    MemoryFiles(MemoryFiles&&) = default;
    MemoryFiles& operator=(MemoryFiles&&) = default;

    /// Those of a file, which is made if it is not there.
    std::vector<u8>& bytes(const std::string& name) { return *shared(name); }
    std::unique_ptr<ByteSource> open(const std::string& name);
    /// For images that name further files.
    OpenSibling opener();
    /// Repeats what was done, wholly or (random sectors of a write) in part.
    void apply(const FileEvent& event);
    void apply_part(const FileEvent& event, u32 seed);

private:
    std::shared_ptr<std::vector<u8>>& shared(const std::string& name);

    std::map<std::string, std::shared_ptr<std::vector<u8>>> files_;
};

struct FileLog {
    MemoryFiles start; // the files before the run
    std::vector<FileEvent> log = {};
};

/// Files that write down what is done to them in `log`, whose files are as they were at `start`.
class RecordedFiles {
public:
    explicit RecordedFiles(FileLog& log) : log_{log}, files_{log.start} {}

    std::unique_ptr<ByteSource> open(const std::string& name);
    OpenSibling opener();
    MemoryFiles& files() { return files_; }

private:
    FileLog& log_;
    MemoryFiles files_;
};

/// A moment of a log: all events before `begin` have reached the disk, any of those before `end`.
struct Cut {
    std::size_t begin;
    std::size_t end;
};
using AtCut = std::function<void(MemoryFiles files, Cut cut)>;

/// After every event (one in `step`), as when a process is killed; now and then inside of a write.
/// Returns how many cuts that were.
int each_prefix(const FileLog& log, std::size_t step, const AtCut& look);

/// As when the power fails: each file has what it had at its last flush, and of what was done since
/// then some is lost, some there in part.
int each_loss(const FileLog& log, u32 seed, const AtCut& look);

} // namespace img::test
