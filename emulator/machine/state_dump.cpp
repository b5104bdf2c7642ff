#include "emulator/machine/state_dump.hpp"

#include "base/output.hpp"
#include "emulator/memory/address_space.hpp"
#include "imgtool/disk.hpp"

#include <algorithm>

namespace emu {

namespace {

constexpr std::size_t kLine = 32; // bytes

} // namespace

void StateDump::section(std::string_view name)
{
    section_ = name;
}

void StateDump::integer(std::string_view name, u64& value)
{
    base::print(out_, "{}.{} = {:x}\n", section_, name, value);
}

void StateDump::bytes(std::string_view name, std::span<u8> value)
{
    lines(section_ + "." + std::string{name}, 0, value);
}

void StateDump::ram(RamBlock& block)
{
    lines(block.name(), 0, block.bytes());
}

base::Status StateDump::disk(std::string_view name, img::Disk& disk)
{
    std::vector<u8> piece;
    return disk.visit_written([&](u64 offset, u64 length) -> base::Status {
        constexpr u64 kMost = u64{1} << 20;
        const u64 end = offset + length;
        while (offset < end) {
            piece.resize(std::min(end - offset, kMost));
            if (auto read = disk.read(offset, piece); !read) {
                return read;
            }
            lines(name, offset, piece);
            offset += piece.size();
        }
        return base::ok();
    });
}

/// Lines that are all zero are left out.
void StateDump::lines(std::string_view name, u64 first, std::span<const u8> bytes)
{
    for (std::size_t at = 0; at < bytes.size(); at += kLine) {
        const auto line = bytes.subspan(at, std::min(kLine, bytes.size() - at));
        if (std::ranges::any_of(line, [](u8 byte) { return byte != 0; })) {
            base::print(out_, "{} {:x}: {}\n", name, first + at, to_hex(line));
        }
    }
}

} // namespace emu
