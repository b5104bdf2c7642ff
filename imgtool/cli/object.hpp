// --object: things that exist beside images. Of QEMU's there are secrets.
#pragma once

#include "imgtool/secret.hpp"

#include <string_view>

namespace img::cli {

/// Adds what --object describes: "secret,id=...,data=...|file=...", with format=raw|base64 and, for
/// secrets that are encrypted with another one, keyid= and iv=; or the same as JSON. "help" prints
/// and ends the program. Error: `invalid_argument` in qemu-img's words; `unsupported`.
base::Status add_object(std::string_view text, Secrets& secrets);

} // namespace img::cli
