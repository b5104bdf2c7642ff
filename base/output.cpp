#include "base/output.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace base {

namespace {

bool is_reader_gone()
{
    pollfd output{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
    return ::poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)) != 0;
}

} // namespace

void put(std::FILE* to, std::string_view text)
{
    (void)!std::fwrite(text.data(), 1, text.size(), to);
}

bool answer_lost()
{
    return std::ferror(stdout) != 0;
}

bool finish_answer(std::string_view program)
{
    errno = 0;
    if (std::fflush(stdout) == 0 && !answer_lost()) {
        return true;
    }
    if (const int error = errno; !is_reader_gone()) { // 0: it failed before
        print(stderr, "{}: the output could not be written{}{}\n", program, error != 0 ? ": " : "",
              error != 0 ? std::strerror(error) : "");
    }
    return false;
}

void note(std::string_view text)
{
    std::fflush(stdout); // what was put before comes before
    while (!text.empty()) {
        const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

} // namespace base
