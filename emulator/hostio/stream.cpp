#include "emulator/hostio/stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace emu::hostio {

namespace {

constexpr std::size_t kMaxBuffered = std::size_t{1} << 20;
constexpr std::size_t kMaxUnread = std::size_t{64} << 20; // a client this far behind loses output

// poll(2) promises that a write of PIPE_BUF bytes does not block, so the descriptors need not be
// made non-blocking; that would change them for every process that shares them.
constexpr std::size_t kWriteChunk = 4096;

} // namespace

std::shared_ptr<Stream> Stream::create(HostLoop& loop, int in_fd, int out_fd, Overflow overflow)
{
    return std::shared_ptr<Stream>{new Stream{loop, in_fd, out_fd, overflow}};
}

Stream::Stream(HostLoop& loop, int in_fd, int out_fd, Overflow overflow)
    : loop_{loop}, in_fd_{in_fd}, out_fd_{out_fd}, overflow_{overflow}
{}

Stream::~Stream()
{
    if (in_fd_ > STDERR_FILENO) {
        ::close(in_fd_);
    }
    if (out_fd_ > STDERR_FILENO && out_fd_ != in_fd_) {
        ::close(out_fd_);
    }
}

void Stream::start(Receiver receiver, Closed closed)
{
    loop_.post([self = shared_from_this(), receiver = std::move(receiver),
                closed = std::move(closed)]() mutable {
        self->receiver_ = std::move(receiver);
        self->closed_ = std::move(closed);
        self->started_ = true;
        self->update_watch();
    });
}

void Stream::update_watch()
{
    if (!started_) {
        return;
    }
    bool output = false;
    {
        const std::lock_guard lock{mutex_};
        output = !out_.empty();
        if (dead_) {
            return;
        }
    }
    const auto handler = [self = shared_from_this()](short revents) { self->on_ready(revents); };
    if (in_fd_ == out_fd_) {
        loop_.watch(in_fd_, static_cast<short>(POLLIN | (output ? POLLOUT : 0)), handler);
        return;
    }
    if (in_fd_ >= 0) {
        loop_.watch(in_fd_, POLLIN, handler);
    }
    if (out_fd_ >= 0 && output) {
        loop_.watch(out_fd_, POLLOUT, handler);
    } else if (out_fd_ >= 0) {
        loop_.unwatch(out_fd_);
    }
}

void Stream::on_ready(short revents)
{
    bool alive = true;
    if ((revents & POLLOUT) != 0 || (out_fd_ != in_fd_ && (revents & (POLLERR | POLLNVAL)) != 0)) {
        alive = write_some();
    }
    if (alive && (revents & (POLLIN | POLLHUP | POLLERR)) != 0 && in_fd_ >= 0) {
        alive = read_some();
    }
    if (!alive) {
        close_now();
        return;
    }
    update_watch();
}

bool Stream::read_some()
{
    std::array<u8, 4096> buffer;
    pollfd probe{in_fd_, POLLIN, 0};
    if (::poll(&probe, 1, 0) <= 0 || probe.revents == 0) {
        return true;
    }
    const auto got = ::read(in_fd_, buffer.data(), buffer.size());
    if (got > 0) {
        if (receiver_) {
            receiver_({buffer.data(), static_cast<std::size_t>(got)});
        }
        return true;
    }
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return true;
    }
    if (in_fd_ != out_fd_ && out_fd_ >= 0) {
        loop_.unwatch(in_fd_); // end of standard input: output goes on
        in_fd_ = -1;
        return true;
    }
    return false;
}

bool Stream::write_some()
{
    const std::lock_guard lock{mutex_};
    if (!out_.empty()) {
        const std::size_t size = std::min(out_.size(), kWriteChunk);
        auto sent = ::send(out_fd_, out_.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == ENOTSOCK) {
            sent = ::write(out_fd_, out_.data(), size);
        }
        if (sent < 0) {
            return errno == EINTR || errno == EAGAIN;
        }
        out_.erase(0, static_cast<std::size_t>(sent));
        written_.notify_all();
    }
    return !(out_.empty() && closing_);
}

void Stream::close_now()
{
    {
        const std::lock_guard lock{mutex_};
        if (dead_) {
            return;
        }
        dead_ = true;
        out_.clear();
        written_.notify_all();
    }
    const auto self = shared_from_this(); // the watches hold the other references
    if (in_fd_ >= 0) {
        loop_.unwatch(in_fd_);
    }
    if (out_fd_ >= 0) {
        loop_.unwatch(out_fd_);
    }
    if (closed_) {
        closed_();
    }
    receiver_ = nullptr;
    closed_ = nullptr;
}

void Stream::write(std::span<const u8> bytes)
{
    write(std::string_view{reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void Stream::write(std::string_view text)
{
    bool was_empty = false;
    {
        std::unique_lock lock{mutex_};
        if (overflow_ == Overflow::wait) {
            written_.wait(lock, [this] { return dead_ || out_.size() < kMaxBuffered; });
        }
        if (dead_ || out_fd_ < 0 || out_.size() > kMaxUnread) {
            return;
        }
        was_empty = out_.empty();
        out_.append(text);
    }
    if (was_empty) {
        loop_.post([self = shared_from_this()] { self->update_watch(); });
    }
}

void Stream::close_when_sent()
{
    loop_.post([self = shared_from_this()] {
        bool sent = false;
        {
            const std::lock_guard lock{self->mutex_};
            self->closing_ = true;
            sent = self->out_.empty();
        }
        if (sent) {
            self->close_now();
        }
    });
}

void Stream::drain(std::chrono::milliseconds limit)
{
    std::unique_lock lock{mutex_};
    written_.wait_for(lock, limit, [this] { return dead_ || out_.empty(); });
}

} // namespace emu::hostio
