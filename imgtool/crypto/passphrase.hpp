// Passphrases of encrypted images.
#pragma once

#include "imgtool/image.hpp"
#include "imgtool/secret.hpp"

#include <string>
#include <string_view>

namespace img::crypto {

/// The passphrase in the secret with that ID. Errors in qemu-img's words: no ID, no such secret,
/// not UTF-8.
/// `option` is what the ID was given by: "encrypt.key-secret".
Result<std::string> find_passphrase(const Secrets* secrets, const std::string& id,
                                    std::string_view option);

/// Whether "encrypt.format", if it is among the options, says what the image's header does, which
/// is empty when the image is not encrypted.
Status check_format_option(const CreateSettings& options, std::string_view in_header);

/// The value of an option, or nothing in it.
std::string value_of(const CreateSettings& options, std::string_view name);

} // namespace img::crypto
