// A pair of file descriptors with buffered output, served by the host loop.
#pragma once

#include "base/types.hpp"
#include "emulator/hostio/host_loop.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace emu::hostio {

using base::u8;

/// What to do when the other side does not read: make the writer wait (no byte is ever lost), or
/// drop what does not fit (a hung client must not stop the machine).
enum class Overflow : u8 { wait, drop };

class Stream : public std::enable_shared_from_this<Stream> {
public:
    using Receiver = std::function<void(std::span<const u8>)>;
    using Closed = std::function<void()>;

    /// Owns the descriptors unless they are the standard ones; -1 means none. They may be equal.
    static std::shared_ptr<Stream> create(HostLoop& loop, int in_fd, int out_fd, Overflow overflow);
    ~Stream();

    /// Both callbacks run on the loop's thread.
    void start(Receiver receiver, Closed closed);

    /// Any thread.
    void write(std::span<const u8> bytes);
    void write(std::string_view text);

    /// Any thread: ends the connection after what was written has been sent.
    void close_when_sent();

    /// Any thread but the loop's: waits until all is written out.
    void drain(std::chrono::milliseconds limit);

private:
    Stream(HostLoop& loop, int in_fd, int out_fd, Overflow overflow);
    void update_watch();
    void on_ready(short revents);
    bool read_some();
    bool write_some();
    void close_now();

    HostLoop& loop_;
    int in_fd_;
    int out_fd_;
    Overflow overflow_;
    Receiver receiver_;
    Closed closed_;
    bool started_ = false;

    std::mutex mutex_;
    std::condition_variable written_;
    std::string out_;
    bool closing_ = false;
    bool dead_ = false;
};

} // namespace emu::hostio
