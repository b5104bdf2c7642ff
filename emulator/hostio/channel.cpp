#include "emulator/hostio/channel.hpp"

#include "emulator/hostio/terminal.hpp"

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

namespace emu::hostio {

namespace {

using base::Errc;

class NullChannel : public Channel {
public:
    using Channel::Channel;
    std::string description() const override { return "null"; }

protected:
    void send(std::span<const u8>) override {}
};

/// One stream for the whole run: standard input and output, a file, a pty, a client's socket.
class StreamChannel : public Channel {
public:
    StreamChannel(std::string id, std::string description, std::shared_ptr<Stream> stream)
        : Channel{std::move(id)}, description_{std::move(description)}, stream_{std::move(stream)}
    {
        stream_->start([this](std::span<const u8> bytes) { received(bytes); },
                       [this] { opened(false); });
    }
    std::string description() const override { return description_; }
    void drain(std::chrono::milliseconds limit) override { stream_->drain(limit); }

protected:
    void send(std::span<const u8> bytes) override { stream_->write(bytes); }

private:
    std::string description_;
    std::shared_ptr<Stream> stream_;
};

class StdioChannel : public StreamChannel {
public:
    StdioChannel(HostLoop& loop, const ChannelSpec& spec)
        : StreamChannel{spec.id, "stdio",
                        Stream::create(loop, STDIN_FILENO, STDOUT_FILENO, Overflow::wait)},
          raw_{spec.signals && !spec.mux ? RawTerminal::Signals::keep : RawTerminal::Signals::pass}
    {}

private:
    RawTerminal raw_;
};

/// Keeps the slave side open so that reads do not fail while no program uses it.
class PtyChannel : public StreamChannel {
public:
    PtyChannel(HostLoop& loop, std::string id, int master, int slave, const std::string& name)
        : StreamChannel{std::move(id), "pty:" + name,
                        Stream::create(loop, master, master, Overflow::drop)},
          slave_{slave}
    {}
    ~PtyChannel() override { ::close(slave_); }

private:
    int slave_;
};

class ServerChannel : public Channel {
public:
    ServerChannel(HostLoop& loop, std::string id) : Channel{std::move(id)}, loop_{loop} {}

    base::Status listen(SocketAddress address)
    {
        auto listener = Listener::create(loop_, std::move(address), [this](int fd) { take(fd); });
        if (!listener) {
            return std::move(listener).error();
        }
        listener_ = std::move(listener).value();
        return base::ok();
    }
    std::string description() const override
    {
        const std::lock_guard lock{mutex_};
        return (stream_ ? "" : "disconnected:") + listener_->address().text() + ",server=on";
    }
    void wait_for_client() override
    {
        std::unique_lock lock{mutex_};
        if (!stream_) {
            std::fprintf(stderr, "emulator: waiting for connection on: %s,server=on\n",
                         listener_->address().text().c_str());
            connected_.wait(lock, [this] { return stream_ != nullptr; });
        }
    }
    void drain(std::chrono::milliseconds limit) override
    {
        if (const auto stream = current()) {
            stream->drain(limit);
        }
    }

protected:
    void send(std::span<const u8> bytes) override
    {
        if (const auto stream = current()) {
            stream->write(bytes);
        }
    }

private:
    std::shared_ptr<Stream> current() const
    {
        const std::lock_guard lock{mutex_};
        return stream_;
    }
    void take(int fd)
    {
        auto stream = Stream::create(loop_, fd, fd, Overflow::drop);
        listener_->set_accepting(false);
        {
            const std::lock_guard lock{mutex_};
            stream_ = stream;
        }
        connected_.notify_all();
        stream->start([this](std::span<const u8> bytes) { received(bytes); },
                      [this] {
                          {
                              const std::lock_guard lock{mutex_};
                              stream_.reset();
                          }
                          listener_->set_accepting(true);
                          opened(false);
                      });
        opened(true);
    }

    HostLoop& loop_;
    std::unique_ptr<Listener> listener_;
    mutable std::mutex mutex_;
    std::condition_variable connected_;
    std::shared_ptr<Stream> stream_;
};

base::Error system_error(const std::string& what)
{
    return base::fail(Errc::io, what + ": " + std::strerror(errno));
}

base::Result<int> open_for_writing(const std::string& path, bool append)
{
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0) {
        return system_error(path);
    }
    return fd;
}

base::Result<std::unique_ptr<Channel>> open_file(HostLoop& loop, const ChannelSpec& spec)
{
    auto fd = open_for_writing(spec.path, spec.append);
    if (!fd) {
        return std::move(fd).error();
    }
    auto stream = Stream::create(loop, -1, fd.value(), Overflow::wait);
    return std::unique_ptr<Channel>{
        std::make_unique<StreamChannel>(spec.id, "file:" + spec.path, std::move(stream))};
}

base::Result<std::unique_ptr<Channel>> open_pty(HostLoop& loop, const ChannelSpec& spec)
{
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ::grantpt(master) < 0 || ::unlockpt(master) < 0) {
        return system_error("pty");
    }
    char name[128];
    if (::ptsname_r(master, name, sizeof name) != 0) {
        return system_error("pty");
    }
    const int slave = ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        return system_error(name);
    }
    termios settings{};
    ::tcgetattr(slave, &settings);
    ::cfmakeraw(&settings);
    ::tcsetattr(slave, TCSANOW, &settings);
    std::fprintf(stderr, "char device redirected to %s (label %s)\n", name, spec.id.c_str());
    return std::unique_ptr<Channel>{
        std::make_unique<PtyChannel>(loop, spec.id, master, slave, name)};
}

base::Result<std::unique_ptr<Channel>> open_socket(HostLoop& loop, const ChannelSpec& spec)
{
    if (spec.server) {
        auto channel = std::make_unique<ServerChannel>(loop, spec.id);
        if (auto listening = channel->listen(spec.address); !listening) {
            return std::move(listening).error();
        }
        return std::unique_ptr<Channel>{std::move(channel)};
    }
    auto fd = connect_socket(spec.address);
    if (!fd) {
        return std::move(fd).error();
    }
    auto stream = Stream::create(loop, fd.value(), fd.value(), Overflow::drop);
    return std::unique_ptr<Channel>{
        std::make_unique<StreamChannel>(spec.id, spec.address.text(), std::move(stream))};
}

base::Result<std::unique_ptr<Channel>> open_kind(HostLoop& loop, const ChannelSpec& spec)
{
    switch (spec.kind) {
    case ChannelSpec::Kind::null:
        return std::unique_ptr<Channel>{new NullChannel{spec.id}};
    case ChannelSpec::Kind::stdio:
        return std::unique_ptr<Channel>{std::make_unique<StdioChannel>(loop, spec)};
    case ChannelSpec::Kind::file:
        return open_file(loop, spec);
    case ChannelSpec::Kind::socket:
        return open_socket(loop, spec);
    case ChannelSpec::Kind::pty:
        return open_pty(loop, spec);
    }
    return base::fail(Errc::invalid_argument, "unknown character device");
}

} // namespace

void Channel::write(std::span<const u8> bytes)
{
    if (log_) {
        log_->write(bytes);
    }
    send(bytes);
}

void Channel::write(std::string_view text)
{
    write(std::span{reinterpret_cast<const u8*>(text.data()), text.size()});
}

void Channel::drain_log(std::chrono::milliseconds limit)
{
    if (log_) {
        log_->drain(limit);
    }
}

void Channel::received(std::span<const u8> bytes)
{
    if (receiver_) {
        receiver_(bytes);
    }
}

void Channel::opened(bool connected)
{
    if (opened_) {
        opened_(connected);
    }
}

base::Result<std::unique_ptr<Channel>> open_channel(HostLoop& loop, const ChannelSpec& spec)
{
    auto channel = open_kind(loop, spec);
    if (!channel || spec.log_path.empty()) {
        return channel;
    }
    auto log = open_for_writing(spec.log_path, spec.log_append);
    if (!log) {
        return std::move(log).error();
    }
    auto copy = Stream::create(loop, -1, log.value(), Overflow::wait);
    copy->start({}, {});
    channel.value()->set_log(std::move(copy));
    return channel;
}

} // namespace emu::hostio
