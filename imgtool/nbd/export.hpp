// The disk that a server offers, shared by all its clients.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"
#include "imgtool/chain/chain.hpp"
#include "imgtool/nbd/fair_lock.hpp"

#include <functional>
#include <span>
#include <string>

namespace img::nbd {

/// Every function may be called from any thread. The lock is held for one piece of work at a time
/// (never while a client is waited for), so that no client waits long for another.
class Export {
public:
    struct Settings {
        std::string name = {};
        std::string description = {};
        /// Is told of errors of the disk, from any thread.
        std::function<void(const std::string& message)> log = {};
    };
    /// The disk must outlive the export. What is read-only about it is offered read-only.
    Export(ChainDisk& disk, Settings settings);

    const std::string& name() const { return settings_.name; }
    const std::string& description() const { return settings_.description; }
    u64 size() const { return size_; } // bytes
    bool read_only() const { return disk_.read_only(); }

    /// What a client is told of a range that has one nature.
    struct Run {
        u64 length; // bytes, at least 1
        bool zero;  // reads as zero
        bool hole;  // takes no storage
    };
    /// The run that begins at `at`, at most `limit` bytes long; there may be more of the same
    /// nature after it.
    Result<Run> run_at(u64 at, u64 limit);

    Status read(u64 at, std::span<u8> into);
    Status write(u64 at, std::span<const u8> from);
    /// `provisioned`: storage is kept for the zeroes.
    Status write_zeroes(u64 at, u64 length, bool provisioned);
    /// Gives up the whole clusters of a range, which then read as zero.
    Status trim(u64 at, u64 length);
    Status flush();

private:
    Status noted(Status status);

    ChainDisk& disk_;
    Settings settings_;
    u64 size_;    // bytes
    u64 cluster_; // bytes
    FairLock lock_;
};

} // namespace img::nbd
