// Cuts a stream of bytes into JSON values, as QMP sends them: with or without line feeds between.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace emu::debug {

class JsonSplitter {
public:
    /// Values of more bytes or deeper nesting than a control protocol needs are refused.
    static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
    static constexpr int kMaxDepth = 64;

    using Value = std::function<void(std::string_view text)>;

    /// False when a value broke a limit; what was read of it is dropped.
    bool feed(std::string_view bytes, const Value& value);

private:
    std::string text_;
    int depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
};

} // namespace emu::debug
