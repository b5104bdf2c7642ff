// Loads of fixed byte order. File formats never rely on the host's byte order or on struct layout.
#pragma once

#include "base/types.hpp"

#include <bit>
#include <cassert>
#include <concepts>
#include <cstring>
#include <span>
#include <type_traits>

namespace base {

/// The value whose bytes are those of `value` in reverse.
template <std::unsigned_integral T>
constexpr T byte_swapped(T value)
{
    if constexpr (sizeof(T) == 1) {
        return value;
    } else if constexpr (sizeof(T) == 2) {
        return __builtin_bswap16(value);
    } else if constexpr (sizeof(T) == 4) {
        return __builtin_bswap32(value);
    } else {
        static_assert(sizeof(T) == 8);
        return __builtin_bswap64(value);
    }
}

namespace detail {

// One load or store and at most one swap: GCC 12 keeps a loop over the bytes of eight a loop.
template <std::unsigned_integral T>
constexpr T load(std::span<const u8> bytes, std::size_t offset, std::endian order)
{
    assert(offset + sizeof(T) <= bytes.size());
    T value = 0;
    if (std::is_constant_evaluated()) {
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            const std::size_t shift = 8 * (order == std::endian::big ? sizeof(T) - 1 - i : i);
            value = static_cast<T>(value | static_cast<T>(bytes[offset + i]) << shift);
        }
        return value;
    }
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return order == std::endian::native ? value : byte_swapped(value);
}

template <std::unsigned_integral T>
constexpr void store(std::span<u8> bytes, std::size_t offset, T value, std::endian order)
{
    assert(offset + sizeof(T) <= bytes.size());
    if (std::is_constant_evaluated()) {
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            const std::size_t shift = 8 * (order == std::endian::big ? sizeof(T) - 1 - i : i);
            bytes[offset + i] = static_cast<u8>(value >> shift);
        }
        return;
    }
    value = order == std::endian::native ? value : byte_swapped(value);
    std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

} // namespace detail

template <std::unsigned_integral T>
constexpr T load_be(std::span<const u8> bytes, std::size_t offset)
{
    return detail::load<T>(bytes, offset, std::endian::big);
}

template <std::unsigned_integral T>
constexpr void store_be(std::span<u8> bytes, std::size_t offset, T value)
{
    detail::store(bytes, offset, value, std::endian::big);
}

template <std::unsigned_integral T>
constexpr T load_le(std::span<const u8> bytes, std::size_t offset)
{
    return detail::load<T>(bytes, offset, std::endian::little);
}

template <std::unsigned_integral T>
constexpr void store_le(std::span<u8> bytes, std::size_t offset, T value)
{
    detail::store(bytes, offset, value, std::endian::little);
}

} // namespace base
