// The monitor's memory dumps and its calculator.
#include "emulator/debug/disassembler.hpp"
#include "emulator/debug/monitor.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace emu::debug {

namespace {

/// "/16xb": a count, a style and a size (b, h, w, g), in QEMU's order.
base::Result<DumpFormat> parse_format(const std::string& text)
{
    DumpFormat format;
    std::size_t at = 1;
    std::size_t digits = at;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
        ++digits;
    }
    if (digits > at) {
        std::from_chars(text.data() + at, text.data() + digits, format.count);
    }
    constexpr u64 kMaxItems = 65536;
    if (format.count == 0 || format.count > kMaxItems) {
        return base::fail(base::Errc::invalid_argument, "the count is a number up to 65536");
    }
    for (const char c : std::string_view{text}.substr(digits)) {
        switch (c) {
        case 'x':
        case 'd':
        case 'u':
        case 'o':
        case 'c':
        case 'i':
            format.style = c;
            break;
        case 'b':
            format.size = 1;
            break;
        case 'h':
            format.size = 2;
            break;
        case 'w':
            format.size = 4;
            break;
        case 'g':
            format.size = 8;
            break;
        default:
            return base::fail(base::Errc::invalid_argument,
                              std::string{"invalid char in format: '"} + c + "'");
        }
    }
    return format;
}

std::string item_text(const DumpFormat& format, u64 value)
{
    switch (format.style) {
    case 'd': {
        const unsigned shift = 64 - 8 * format.size;
        return fmt::format("{}", static_cast<base::i64>(value << shift) >> shift);
    }
    case 'u':
        return fmt::format("{}", value);
    case 'o':
        return fmt::format("{:#o}", value);
    case 'c': {
        const char c = static_cast<char>(value);
        return c >= 0x20 && c < 0x7f ? fmt::format("'{}'", c)
                                     : fmt::format("'\\x{:02x}'", value & 0xff);
    }
    default:
        return fmt::format("0x{:0{}x}", value, format.size * 2);
    }
}

} // namespace

std::string Monitor::examine_physical(const Words& words)
{
    return examine(words, Addressing::physical);
}

std::string Monitor::examine_linear(const Words& words)
{
    return examine(words, Addressing::linear);
}

/// A format in the first word, if there is one; the words behind it are one expression.
base::Result<Monitor::Examined> Monitor::parse_examined(const Words& words) const
{
    Examined examined;
    std::size_t first = 0;
    if (!words.empty() && words[0].starts_with("/")) {
        auto format = parse_format(words[0]);
        if (!format) {
            return std::move(format).error();
        }
        examined.format = format.value();
        first = 1;
    }
    std::string expression;
    for (std::size_t i = first; i < words.size(); ++i) {
        expression += words[i] + " ";
    }
    auto value = number(expression);
    if (!value) {
        return std::move(value).error();
    }
    examined.value = value.value();
    return examined;
}

std::string Monitor::print(const Words& words)
{
    const auto parsed = parse_examined(words);
    if (!parsed) {
        return parsed.error().message + "\n";
    }
    const u64 value = parsed.value().value;
    switch (parsed.value().format.style) {
    case 'x': // as C's %#x: zero has no prefix
        return value == 0 ? "0\n" : fmt::format("{:#x}\n", value);
    case 'o':
        return value == 0 ? "0\n" : fmt::format("{:#o}\n", value);
    case 'u':
        return fmt::format("{}\n", value);
    case 'c':
        return item_text({.count = 1, .style = 'c', .size = 1}, value & 0xff) + "\n";
    default:
        return fmt::format("{}\n", static_cast<base::i64>(value));
    }
}

std::string Monitor::examine(const Words& words, Addressing addressing)
{
    const auto parsed = parse_examined(words);
    if (!parsed) {
        return parsed.error().message + "\n";
    }
    const DumpFormat& format = parsed.value().format;
    return format.style == 'i' ? examine_code(format.count, parsed.value().value, addressing)
                               : examine_data(format, parsed.value().value, addressing);
}

std::string Monitor::examine_data(const DumpFormat& format, u64 address,
                                  Addressing addressing) const
{
    const u64 per_line = format.style == 'c' ? 16 : std::max<u64>(1, 16 / format.size);
    std::string text;
    for (u64 done = 0; done < format.count; ++done) {
        std::array<u8, 8> bytes{};
        const auto item = std::span{bytes}.first(format.size);
        if (auto read = read_memory(target_, address, item, addressing); !read) {
            return text + (text.empty() || text.back() == '\n' ? "" : "\n") + read.error().message +
                   "\n";
        }
        u64 value = 0;
        for (unsigned i = 0; i < format.size; ++i) {
            value |= u64{bytes[i]} << (8 * i);
        }
        if (done % per_line == 0) {
            text += fmt::format("{}{:0{}x}:", done == 0 ? "" : "\n", address,
                                addressing == Addressing::physical ? 16 : 8);
        }
        text += " " + item_text(format, value);
        address += format.size;
    }
    return text + "\n";
}

/// One instruction a line: address, bytes, text.
std::string Monitor::examine_code(u64 count, u64 address, Addressing addressing) const
{
    const CodeWidth width =
        target_.machine->cpu().code_bits() == 16 ? CodeWidth::bits16 : CodeWidth::bits32;
    std::string text;
    for (u64 done = 0; done < count; ++done) {
        std::array<u8, kMaxInstruction> bytes{};
        std::size_t readable = 0; // up to a page that is not there
        while (readable < bytes.size() &&
               read_memory(target_, address + readable, {&bytes[readable], 1}, addressing)) {
            ++readable;
        }
        if (readable == 0) {
            return text + fmt::format("{:#010x}: unable to read memory\n", address);
        }
        const auto made = disassemble(std::span{bytes}.first(readable), address, width);
        if (!made) {
            return text + made.error().message + "\n";
        }
        std::string raw;
        for (unsigned i = 0; i < made.value().size; ++i) {
            raw += fmt::format("{:02x} ", bytes[i]);
        }
        text += fmt::format("{:#010x}:  {:<24} {}\n", address, raw, made.value().text);
        address += made.value().size;
    }
    return text;
}

} // namespace emu::debug
