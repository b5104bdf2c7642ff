// One SHA-256 over all that a guest can see: clock, CPU, devices, memory, what disks hold.
#pragma once

#include "base/result.hpp"
#include "emulator/machine/state.hpp"

#include <array>
#include <memory>
#include <string>

namespace img {
class Disk;
}

namespace emu {

class RamBlock;

using Sha256 = std::array<u8, 32>;
std::string to_hex(std::span<const u8> bytes);

/// Takes all that a guest can see, not only fields: see Machine::visit_all().
class WholeStateVisitor : public StateVisitor {
public:
    virtual void ram(RamBlock& block) = 0;
    /// Fails when the disk cannot be read.
    virtual base::Status disk(std::string_view name, img::Disk& disk) = 0;
};

/// Hashes fields with their names, so that two different lists of fields never give one hash.
class StateHash : public WholeStateVisitor {
public:
    StateHash();
    ~StateHash() override;

    void section(std::string_view name) override;
    void integer(std::string_view name, u64& value) override;
    void bytes(std::string_view name, std::span<u8> value) override;

    /// Pages that are all zero are left out; each other page goes in with its number.
    void ram(RamBlock& block) override;

    /// What the disk's own layer holds, in pieces whose borders do not depend on how the format
    /// reports its ranges. Fails when the disk cannot be read.
    base::Status disk(std::string_view name, img::Disk& disk) override;

    /// Ends the hash; nothing may be added afterwards.
    Sha256 finish();

private:
    void tag(char kind, std::string_view name);
    void number(u64 value);
    void raw(std::span<const u8> bytes);

    struct Digest;
    std::unique_ptr<Digest> digest_;
};

} // namespace emu
