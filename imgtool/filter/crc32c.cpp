#include "imgtool/filter/crc32c.hpp"

#include <array>
#include <cstring>

namespace img {

namespace {

using base::u32;
using base::u64;
using base::u8;

constexpr u32 kPolynomial = 0x82f6'3b78; // 0x1edc6f41, its bits in reverse order

constexpr auto kTable = [] {
    std::array<u32, 256> table{};
    for (u32 i = 0; i < table.size(); ++i) {
        u32 crc = i;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
        }
        table[i] = crc;
    }
    return table;
}();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) u32 crc32c_by_sse(std::span<const u8> bytes, u32 before)
{
    u64 crc = ~before;
    while (bytes.size() >= sizeof(u64)) {
        u64 word = 0;
        std::memcpy(&word, bytes.data(), sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
        bytes = bytes.subspan(sizeof word);
    }
    u32 low = static_cast<u32>(crc);
    for (const u8 byte : bytes) {
        low = __builtin_ia32_crc32qi(low, byte);
    }
    return ~low;
}
#endif

} // namespace

u32 crc32c_by_table(std::span<const u8> bytes, u32 before)
{
    u32 crc = ~before;
    for (const u8 byte : bytes) {
        crc = (crc >> 8) ^ kTable[(crc ^ byte) & 0xff];
    }
    return ~crc;
}

u32 crc32c(std::span<const u8> bytes, u32 before)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2") != 0) {
        return crc32c_by_sse(bytes, before);
    }
#endif
    return crc32c_by_table(bytes, before);
}

} // namespace img
