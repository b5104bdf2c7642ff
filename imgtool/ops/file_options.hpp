// What `-o` can say of the host file that an image is made in, whatever the image's format.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/source/file_source.hpp"

#include <vector>

namespace img {

/// The format's options and, unless it has an option of that name itself, those of host files. Only
/// the format's where no images of it can be made.
std::vector<CreateOption> with_file_options(const FormatDriver& format);

/// Whether the (completed) settings are such that a host file can be made.
Status check_file_options(const FormatDriver& format, const CreateSettings& completed);

/// For a file that was just made. What cannot be done is a hint that was not taken.
void apply_file_options(FileSource& file, const CreateSettings& completed);

} // namespace img
