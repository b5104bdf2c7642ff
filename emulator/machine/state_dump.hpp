// All that a guest can see as lines of text, so that `diff` shows where two runs went apart.
#pragma once

#include "emulator/machine/state_hash.hpp"

#include <cstdio>

namespace emu {

class StateDump : public WholeStateVisitor {
public:
    /// `out` must stay open as long as this is used; look at ferror() afterwards.
    explicit StateDump(std::FILE* out) : out_{out} {}

    void section(std::string_view name) override;
    void integer(std::string_view name, u64& value) override;
    void bytes(std::string_view name, std::span<u8> value) override;
    void ram(RamBlock& block) override;
    base::Status disk(std::string_view name, img::Disk& disk) override;

private:
    void lines(std::string_view name, u64 first, std::span<const u8> bytes);

    std::FILE* out_;
    std::string section_;
};

} // namespace emu
