#include "imgtool/cli/errors.hpp"

#include "imgtool/cli/command.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace img::cli {

namespace {

/// The system's error that a message ends with; 0: none.
int told_number(const base::Error& error)
{
    constexpr std::array kTold{EINVAL, EFBIG,  EAGAIN, ENOSPC, ENOTSUP, ENOENT,
                               EIO,    EACCES, EPERM,  EROFS,  EBUSY,   ENOMEM};
    for (const int number : kTold) {
        if (std::string_view{error.message}.ends_with(std::strerror(number))) {
            return number;
        }
    }
    return 0;
}

} // namespace

int error_number(const base::Error& error)
{
    if (const int number = told_number(error); number != 0) {
        return number;
    }
    switch (error.code) {
    case base::Errc::unsupported:
        return ENOTSUP;
    case base::Errc::invalid_argument:
    case base::Errc::wrong_format:
        return EINVAL;
    case base::Errc::io:
    case base::Errc::corrupt:
        break;
    }
    return EIO;
}

std::string numbered(const base::Error& error)
{
    const int number = error_number(error);
    return fmt::format("-{} ({})", number, std::strerror(number));
}

int report_caused(const std::string& context, std::string message)
{
    struct Cause {
        std::string_view text;
        int number;
    };
    constexpr std::array kCauses{Cause{"Snapshot L1 table offset invalid", EINVAL},
                                 Cause{"Snapshot L1 table too large", EFBIG}};
    for (const Cause& cause : kCauses) {
        if (message.ends_with(cause.text)) {
            report(cause.text);
            message.replace(message.size() - cause.text.size(), cause.text.size(),
                            std::strerror(cause.number));
        }
    }
    return report(context + message);
}

std::string system_part(const base::Error& error)
{
    const int number = told_number(error);
    return number != 0 ? std::strerror(number) : error.message;
}

} // namespace img::cli
