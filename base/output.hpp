// What programs print. An answer is what the program was asked for: when a part of it cannot be
// written, the program has failed. A note tells of work, which is no worse when nobody hears.
// Nothing here throws, as fmt::print() does when a disk is full or a reader is gone.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string_view>
#include <utility>

namespace base {

/// What fails is remembered by the stream (std::ferror).
void put(std::FILE* to, std::string_view text);

template <class... T>
void print(std::FILE* to, fmt::format_string<T...> format, T&&... arguments)
{
    put(to, fmt::format(format, std::forward<T>(arguments)...));
}

/// A piece of the answer, to the standard output.
template <class... T>
void print(fmt::format_string<T...> format, T&&... arguments)
{
    put(stdout, fmt::format(format, std::forward<T>(arguments)...));
}

/// Whether a part of the answer was lost, so that what makes a long one can stop.
bool answer_lost();

/// To be called when the answer is complete. False when a part of it is lost, which was told on the
/// standard error stream; but not when the reader is gone, as `head` is when it has enough.
bool finish_answer(std::string_view program);

/// To the standard output, at once.
void note(std::string_view text);

} // namespace base
