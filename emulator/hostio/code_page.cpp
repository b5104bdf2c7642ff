#include "emulator/hostio/code_page.hpp"

#include <array>
#include <cstddef>

namespace emu::hostio {

namespace {

// IBM code page 437 ("PC graphics" for 0x01 to 0x1f and 0x7f), as in the Unicode Consortium's
// mapping files VENDORS/MICSFT/PC/CP437.TXT and VENDORS/MISC/IBMGRAPH.TXT.
constexpr std::array<std::string_view, 256> kUtf8{
    " ", "☺", "☻",  "♥", "♦", "♣", "♠", "•", "◘", "○", "◙", "♂", "♀",  "♪", "♫", "☼", //
    "►", "◄", "↕",  "‼", "¶", "§", "▬", "↨", "↑", "↓", "→", "←", "∟",  "↔", "▲", "▼", //
    " ", "!", "\"", "#", "$", "%", "&", "'", "(", ")", "*", "+", ",",  "-", ".", "/", //
    "0", "1", "2",  "3", "4", "5", "6", "7", "8", "9", ":", ";", "<",  "=", ">", "?", //
    "@", "A", "B",  "C", "D", "E", "F", "G", "H", "I", "J", "K", "L",  "M", "N", "O", //
    "P", "Q", "R",  "S", "T", "U", "V", "W", "X", "Y", "Z", "[", "\\", "]", "^", "_", //
    "`", "a", "b",  "c", "d", "e", "f", "g", "h", "i", "j", "k", "l",  "m", "n", "o", //
    "p", "q", "r",  "s", "t", "u", "v", "w", "x", "y", "z", "{", "|",  "}", "~", "⌂", //
    "Ç", "ü", "é",  "â", "ä", "à", "å", "ç", "ê", "ë", "è", "ï", "î",  "ì", "Ä", "Å", //
    "É", "æ", "Æ",  "ô", "ö", "ò", "û", "ù", "ÿ", "Ö", "Ü", "¢", "£",  "¥", "₧", "ƒ", //
    "á", "í", "ó",  "ú", "ñ", "Ñ", "ª", "º", "¿", "⌐", "¬", "½", "¼",  "¡", "«", "»", //
    "░", "▒", "▓",  "│", "┤", "╡", "╢", "╖", "╕", "╣", "║", "╗", "╝",  "╜", "╛", "┐", //
    "└", "┴", "┬",  "├", "─", "┼", "╞", "╟", "╚", "╔", "╩", "╦", "╠",  "═", "╬", "╧", //
    "╨", "╤", "╥",  "╙", "╘", "╒", "╓", "╫", "╪", "┘", "┌", "█", "▄",  "▌", "▐", "▀", //
    "α", "ß", "Γ",  "π", "Σ", "σ", "µ", "τ", "Φ", "Θ", "Ω", "δ", "∞",  "φ", "ε", "∩", //
    "≡", "±", "≥",  "≤", "⌠", "⌡", "÷", "≈", "°", "∙", "·", "√", "ⁿ",  "²", "■", " ", //
};

bool blank(u8 character)
{
    return character == 0x00 || character == 0x20 || character == 0xff;
}

} // namespace

std::string_view code_page_437(u8 character)
{
    return kUtf8[character];
}

std::string screen_text(const TextScreen& screen)
{
    std::string text;
    for (u32 row = 0; row < screen.rows; ++row) {
        const std::size_t first = std::size_t{row} * screen.columns;
        u32 used = screen.columns;
        while (used > 0 && blank(screen.characters[first + used - 1])) {
            --used;
        }
        for (u32 column = 0; column < used; ++column) {
            text += code_page_437(screen.characters[first + column]);
        }
        if (row + 1 < screen.rows) {
            text += '\n';
        }
    }
    return text;
}

} // namespace emu::hostio
