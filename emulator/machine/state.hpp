// How guest-visible state is walked: for hashes, snapshots and tests, through one function per
// device.
//
// A device keeps its state in plain fields and lists each once in visit_state(). A field that is
// not listed is not guest-visible by definition, so forgetting one is a bug that the state hash of
// a restored machine shows.
#pragma once

#include "base/types.hpp"

#include <array>
#include <concepts>
#include <deque>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace emu {

using base::i32;
using base::i64;
using base::u16;
using base::u32;
using base::u64;
using base::u8;

/// Receives each field in a fixed order. Integers arrive as 64 bits; the visitor may change them
/// (restore) or not (hash, save).
class StateVisitor {
public:
    virtual ~StateVisitor() = default;
    virtual void section(std::string_view name) = 0;
    virtual void integer(std::string_view name, u64& value) = 0;
    virtual void bytes(std::string_view name, std::span<u8> value) = 0;

    /// True when visited values are being replaced (a snapshot is loaded).
    virtual bool restoring() const { return false; }

    template <class T>
    requires std::integral<T> || std::is_enum_v<T>
    void field(std::string_view name, T& value)
    {
        auto wide = static_cast<u64>(value);
        integer(name, wide);
        value = static_cast<T>(wide);
    }

    template <class T, std::size_t N>
    void field(std::string_view name, std::array<T, N>& values)
    {
        for (T& value : values) {
            field(name, value);
        }
    }

    template <class T>
    void field(std::string_view name, std::vector<T>& values)
    {
        u64 count = values.size();
        integer(name, count);
        resize_checked(values, count);
        if constexpr (std::is_same_v<T, u8>) {
            bytes(name, values);
        } else {
            for (T& value : values) {
                field(name, value);
            }
        }
    }

    template <class T>
    void field(std::string_view name, std::deque<T>& values)
    {
        u64 count = values.size();
        integer(name, count);
        resize_checked(values, count);
        for (T& value : values) {
            field(name, value);
        }
    }

    /// A struct with its own `void visit_state(StateVisitor&)`.
    template <class T>
    requires requires(T& t, StateVisitor& v) { t.visit_state(v); }
    void field(std::string_view name, T& value)
    {
        section(name);
        value.visit_state(*this);
    }

private:
    template <class C>
    void resize_checked(C& values, u64 count)
    {
        constexpr u64 kMaxElements = u64{1} << 30; // a snapshot is untrusted input
        if (restoring() && count <= kMaxElements) {
            values.resize(count);
        }
    }
};

} // namespace emu
