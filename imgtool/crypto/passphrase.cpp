#include "imgtool/crypto/passphrase.hpp"

namespace img::crypto {

namespace {

using base::Errc;
using base::fail;

/// How many bytes the UTF-8 sequence that starts with `lead` has (RFC 3629, section 3); 0: none.
std::size_t sequence_length(u8 lead)
{
    return lead < 0x80                   ? 1
           : lead >= 0xc2 && lead < 0xe0 ? 2
           : lead >= 0xe0 && lead < 0xf0 ? 3
           : lead >= 0xf0 && lead < 0xf5 ? 4
                                         : 0;
}

bool is_utf8(std::string_view text)
{
    while (!text.empty()) {
        const std::size_t n = sequence_length(static_cast<u8>(text[0]));
        if (n == 0 || n > text.size()) {
            return false;
        }
        for (const char c : text.substr(1, n - 1)) {
            if ((static_cast<u8>(c) & 0xc0) != 0x80) {
                return false;
            }
        }
        text.remove_prefix(n);
    }
    return true;
}

} // namespace

Result<std::string> find_passphrase(const Secrets* secrets, const std::string& id,
                                    std::string_view option)
{
    if (id.empty()) {
        return fail(Errc::invalid_argument,
                    "Parameter '" + std::string{option} + "' is required for cipher");
    }
    auto found = secrets != nullptr ? secrets->find(id) : Secrets{}.find(id);
    if (found && !is_utf8(found.value())) {
        return fail(Errc::invalid_argument, "Data from secret " + id + " is not valid UTF-8");
    }
    return found;
}

Status check_format_option(const CreateSettings& options, std::string_view in_header)
{
    const std::string said = value_of(options, "encrypt.format");
    if (said.empty() || said == in_header) {
        return base::ok();
    }
    return fail(Errc::invalid_argument,
                in_header.empty()
                    ? "No encryption in image header, but options specified format '" + said + "'"
                    : "Header reported '" + std::string{in_header} +
                          "' encryption format but options specify '" + said + "'");
}

std::string value_of(const CreateSettings& options, std::string_view name)
{
    std::string value;
    for (const auto& [key, text] : options) {
        if (key == name) {
            value = text;
        }
    }
    return value;
}

} // namespace img::crypto
