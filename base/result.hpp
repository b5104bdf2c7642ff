// Result<T>: the return type of every function that can fail for a reason the caller must handle.
//
// C++20 has no std::expected, so this is the small part of it we use. Exceptions appear only where
// a third-party library throws them; they are turned into an Error at that call.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace base {

enum class Errc {
    io,              // the host failed us
    wrong_format,    // the file is not what the caller asked to open it as
    corrupt,         // it is the right format, but breaks its specification
    unsupported,     // it is valid, but uses a feature we do not implement
    invalid_argument // the caller's request makes no sense
};

struct Error {
    Errc code;
    std::string message; // lower case, no full stop: it is often joined to a context

    /// Says what was being done when the error happened: "opening disk.vhd: bad checksum".
    Error in(std::string_view context) && { return {code, std::string{context} + ": " + message}; }
};

/// Stands for success in a Result that carries no value.
struct Unit {};

template <class T = Unit>
class [[nodiscard]] Result {
public:
    Result(T value) : storage_{std::move(value)} {}
    Result(Error error) : storage_{std::move(error)} {}

    explicit operator bool() const { return std::holds_alternative<T>(storage_); }

    // Both terminate (through std::bad_variant_access) when the caller did not check first.
    T& value() & { return std::get<T>(storage_); }
    const T& value() const& { return std::get<T>(storage_); }
    T&& value() && { return std::get<T>(std::move(storage_)); }
    const Error& error() const& { return std::get<Error>(storage_); }
    Error&& error() && { return std::get<Error>(std::move(storage_)); }

private:
    std::variant<T, Error> storage_;
};

using Status = Result<>;

inline Status ok()
{
    return Unit{};
}

inline Error fail(Errc code, std::string message)
{
    return {code, std::move(message)};
}

} // namespace base
