// QEMU's "a=b,c=d" option values.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace emu::cli {

using base::u32;
using base::u64;
using base::u8;

/// "file=a,,b.img,format=raw": a doubled comma stands for one. A first part without '=' is the
/// value of `implied` (for example "pc" in -M pc,accel=tcg); another one means "on", "no…" is not
/// special. Values are taken out one by one; what is left at the end was not understood.
class KeyValues {
public:
    static base::Result<KeyValues> parse(const std::string& text, const std::string& implied);

    std::optional<std::string> take(const std::string& key);
    std::string take_or(const std::string& key, const std::string& fallback);

    /// "on", "off", "yes", "no", "true", "false".
    base::Result<bool> take_bool(const std::string& key, bool fallback);
    base::Result<u64> take_number(const std::string& key, u64 fallback);

    /// Fails with the name of a key nobody took.
    base::Status finish() const;

private:
    std::vector<std::pair<std::string, std::string>> values_;
};

/// The parts between commas; a doubled comma stands for one. A comma at the end adds no part.
std::vector<std::string> split_at_commas(const std::string& text);

/// A decimal or 0x number. `what` names it in the error.
base::Result<u64> parse_number(const std::string& text, const std::string& what);

/// A size as `imgtool` takes it, in bytes: a number with a suffix b, k, M, G, T, P or E, and then
/// perhaps a fraction ("3.5G"), or in hexadecimal. Without a suffix it is a multiple of `unit`.
base::Result<u64> parse_size(const std::string& text, u64 unit, const std::string& what);

} // namespace emu::cli
