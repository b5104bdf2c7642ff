// Making an image from options as a user names them.
#pragma once

#include "imgtool/format.hpp"
#include "imgtool/ops/unfinished.hpp"

#include <span>
#include <string>

namespace img {

/// Checks settings against the format's table: unknown names, values of the wrong type. The result
/// is complete and in the table's order.
Result<CreateSettings> complete_settings(const FormatDriver& format, const CreateSettings& given);

/// The same against any table, such as a format's amend_options.
Result<CreateSettings> complete_settings(std::span<const CreateOption> options,
                                         const CreateSettings& given);

/// Makes an empty image in `file`, which is empty or of a fixed size.
Status create_in(const FormatDriver& format, ByteSource& file, const CreateSettings& completed,
                 CreateContext& context);

/// Makes the image file `path` and an empty image in it; devices and exports (node::takes_images)
/// must be there. A file that was there is not touched when the settings are wrong; one that was
/// not is removed again when making the image fails. With a `keeper` the caller has more to put
/// into the image, and it is for the keeper to keep the files.
Status create_image(const FormatDriver& format, const std::string& path,
                    const CreateSettings& completed, const Secrets* secrets = nullptr,
                    const Identity& identity = Identity::of_host(), Unfinished* keeper = nullptr);

/// Checks a value against its option's type; sizes become plain numbers, booleans "on" or "off".
Result<std::string> check_value(const CreateOption& option, const std::string& value);

/// A number with an optional fraction and suffix k, M, G, T, P or E: bytes.
/// Errors: `invalid_argument`; `unsupported` for what is more than 2^63 - 1.
Result<u64> parse_size(const std::string& text);

} // namespace img
