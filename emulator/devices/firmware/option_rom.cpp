#include "emulator/devices/firmware/option_rom.hpp"

#include <numeric>

namespace emu::devices {

namespace {

constexpr std::size_t kPnpHeader = 0x20; // and its layout, see option_rom.nasm
constexpr std::size_t kPnpChecksum = kPnpHeader + 9;
constexpr std::size_t kPnpSize = 32;

u8 complement(std::span<const u8> bytes)
{
    return static_cast<u8>(0u - std::accumulate(bytes.begin(), bytes.end(), 0u));
}

} // namespace

std::vector<u8> finish_option_rom(std::span<const u8> assembled)
{
    std::vector<u8> rom{assembled.begin(), assembled.end()};
    rom[kPnpChecksum] = complement(std::span{rom}.subspan(kPnpHeader, kPnpSize));
    rom.back() = complement(rom);
    return rom;
}

} // namespace emu::devices
