// Loads of fixed byte order. File formats never rely on the host's byte order or on struct layout.
#pragma once

#include "base/types.hpp"

#include <cassert>
#include <concepts>
#include <span>

namespace base {

template <std::unsigned_integral T>
constexpr T load_be(std::span<const u8> bytes, std::size_t offset)
{
    assert(offset + sizeof(T) <= bytes.size());
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        value = static_cast<T>((value << 8) | bytes[offset + i]);
    }
    return value;
}

template <std::unsigned_integral T>
constexpr void store_be(std::span<u8> bytes, std::size_t offset, T value)
{
    assert(offset + sizeof(T) <= bytes.size());
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        bytes[offset + i] = static_cast<u8>(value >> (8 * (sizeof(T) - 1 - i)));
    }
}

template <std::unsigned_integral T>
constexpr T load_le(std::span<const u8> bytes, std::size_t offset)
{
    assert(offset + sizeof(T) <= bytes.size());
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        value = static_cast<T>(value | (static_cast<T>(bytes[offset + i]) << (8 * i)));
    }
    return value;
}

template <std::unsigned_integral T>
constexpr void store_le(std::span<u8> bytes, std::size_t offset, T value)
{
    assert(offset + sizeof(T) <= bytes.size());
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        bytes[offset + i] = static_cast<u8>(value >> (8 * i));
    }
}

} // namespace base
