// Faults made on purpose, to see what is done about them: the rules of QEMU's driver "blkdebug"
// (its documentation: docs/devel/blkdebug).
#pragma once

#include "imgtool/node/options.hpp"
#include "imgtool/source/byte_source.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace img {

class Faults {
public:
    enum class Access : u8 { read, write, zero, discard, flush, status };

    /// Takes blkdebug's options out of `options`, all but "image", and reads its configuration
    /// file, if any. Error: `unsupported` for events that are never announced.
    static Result<Faults> take(node::Options& options);

    /// Rules that wait for the event begin to count, and those that waited for another one end.
    void happen(DebugEvent event);
    /// Is told of each access before it is made; an error is that access's result.
    Status check(Access access, u64 offset, u64 length);
    /// How many bytes from `offset` on are before the next one at which such an access fails.
    u64 good_before(Access access, u64 offset, u64 length) const;

private:
    struct Injection {
        DebugEvent event{};
        u32 in_state = 0; // 0: any
        std::optional<Access> access;
        int error = 0;             // errno
        std::optional<u64> offset; // bytes
        bool once = false;
        bool active = false; // its event has happened
    };
    struct Change {
        DebugEvent event{};
        u32 in_state = 0;
        u32 to = 0;
    };

    Status add(node::Options& rules);
    static Result<Injection> take_injection(node::Options rule);
    static Result<Change> take_change(node::Options rule);
    static bool hits(const Injection& rule, Access access, u64 offset, u64 length);

    std::vector<Injection> injections_;
    std::vector<Change> changes_;
    u32 state_ = 1;
};

/// A file with faults.
class FaultSource final : public ByteSource {
public:
    FaultSource(std::unique_ptr<ByteSource> file, Faults faults)
        : file_{std::move(file)}, faults_{std::move(faults)}
    {}

    const std::string& name() const override { return file_->name(); }
    u64 size() const override { return file_->size(); }
    bool read_only() const override { return file_->read_only(); }
    bool fixed_size() const override { return file_->fixed_size(); }
    Status read(FileOffset at, std::span<u8> into) override;
    Status write(FileOffset at, std::span<const u8> from) override;
    Status zero(FileOffset at, u64 length) override;
    Status resize(u64 size) override { return file_->resize(size); }
    Status reserve(FileOffset at, u64 length) override { return file_->reserve(at, length); }
    Status flush() override;
    Result<Run> run_at(FileOffset at) override;
    u64 allocated() const override { return kUnknown; }
    void announce(DebugEvent event) override
    {
        faults_.happen(event);
        file_->announce(event);
    }

private:
    std::unique_ptr<ByteSource> file_;
    Faults faults_;
};

} // namespace img
