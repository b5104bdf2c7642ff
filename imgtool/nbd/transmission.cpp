#include "imgtool/nbd/transmission.hpp"

#include "imgtool/nbd/protocol.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

namespace img::nbd {

namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10; // bytes of data handled at once
constexpr std::size_t kHeadRoom = 64;                  // for the headers before data
constexpr u64 kLeastHole = 4096;                       // bytes; shorter ones are sent as data
constexpr std::size_t kMaxDescriptors = 1024;          // of one answer to BLOCK_STATUS
constexpr int kMaxLookups = 8192;                      // for one answer to BLOCK_STATUS

/// Whether the connection goes on.
enum class Next : u8 { request, leave };

/// Why a request is refused; `error` is none when it is not.
struct Refusal {
    Errno error = Errno::none;
    std::string_view message = {};
};

/// "Error values". Texts of the host do not go to clients: they may name files.
Refusal refusal_of(const base::Error& error, bool writing)
{
    // Errors of the host end with what strerror() says of them.
    for (const int full : {ENOSPC, EDQUOT, EFBIG}) {
        if (writing && error.message.ends_with(::strerrordesc_np(full))) {
            return {Errno::no_space, "there is no space left"};
        }
    }
    if (writing && error.code == base::Errc::invalid_argument) {
        return {Errno::not_permitted, "this write is not allowed"};
    }
    return {Errno::io, writing ? "the disk could not be written" : "the disk could not be read"};
}

class Transmission {
public:
    Transmission(Stream& stream, Export& offered, const Session& session)
        : stream_{stream}, offered_{offered}, session_{session},
          room_(kHeadRoom + kPiece), buffer_{std::span{room_}.subspan(kHeadRoom)}
    {}

    void run();

private:
    using Handler = Next (Transmission::*)();
    struct Row {
        Command command;
        Handler handler;
        u16 flags;         // that the command may have, besides FUA
        bool writes;       // refused when the export is read-only
        Errno past_end;    // the error for a range past the end; none: there is no range
        u32 most;          // bytes of a request
        bool takes_length; // a length of zero is refused
    };
    static const std::array<Row, 7> kRows;

    Next take_request();
    Refusal check(const Row& row) const;

    Next read();
    Next write();
    Next flush();
    Next trim();
    Next cache();
    Next write_zeroes();
    Next block_status();

    Result<Export::Run> next_run(u64 at, u64 end);
    Next read_simple();
    Next read_unfragmented();
    Next read_chunks();
    Next send_hole(u64 at, u64 length, bool last);
    Next finish_write(const Status& done);

    Next refuse(Refusal why);
    Next refuse_at(Refusal why, u64 offset);
    Next send_error(Chunk type, Refusal why, u64 offset);
    Next succeed();
    /// Sends `header_size` bytes that end where the buffer begins, and the buffer's first `length`.
    Next send(std::size_t header_size, std::size_t length);
    std::span<u8> head(std::size_t size)
    {
        return std::span{room_}.subspan(kHeadRoom - size, size);
    }
    void chunk_head(std::span<u8> bytes, Chunk type, u16 flags, u32 length) const
    {
        ChunkHeader{flags, type, request_.cookie, length}.encode(bytes);
    }

    Stream& stream_;
    Export& offered_;
    const Session& session_;
    std::vector<u8> room_;
    std::span<u8> buffer_;
    Request request_{};
};

const std::array<Transmission::Row, 7> Transmission::kRows{{
    {Command::read, &Transmission::read, kCommandDontFragment, false, Errno::invalid, kMaxRequest,
     false},
    {Command::write, &Transmission::write, 0, true, Errno::no_space, kMaxRequest, false},
    {Command::flush, &Transmission::flush, 0, false, Errno::none, 0, false},
    {Command::trim, &Transmission::trim, 0, true, Errno::invalid, ~u32{0}, false},
    {Command::cache, &Transmission::cache, 0, false, Errno::invalid, kMaxRequest, false},
    {Command::write_zeroes, &Transmission::write_zeroes, kCommandNoHole, true, Errno::no_space,
     ~u32{0}, false},
    {Command::block_status, &Transmission::block_status, kCommandRequestOne, false, Errno::invalid,
     ~u32{0}, true},
}};

void Transmission::run()
{
    while (stream_.wait() && take_request() == Next::request) {
    }
}

Next Transmission::take_request()
{
    std::array<u8, Request::kSize> bytes{};
    if (!stream_.read(bytes)) {
        return Next::leave;
    }
    request_ = Request::decode(bytes);
    if (request_.magic != kRequestMagic || request_.command == Command::disconnect) {
        return Next::leave;
    }
    if (request_.command == Command::write) {
        return write(); // takes its data, whatever is wrong with it
    }
    const auto row = std::ranges::find(kRows, request_.command, &Row::command);
    if (row == kRows.end()) {
        return refuse({Errno::invalid, "this command is not supported"});
    }
    const Refusal refusal = check(*row);
    return refusal.error != Errno::none ? refuse(refusal) : (this->*row->handler)();
}

/// "Command flags", "Error values".
Refusal Transmission::check(const Row& row) const
{
    if ((request_.flags & ~(row.flags | kCommandFua)) != 0) {
        return {Errno::invalid, "the command has a flag that it cannot have"};
    }
    if ((request_.flags & kCommandDontFragment) != 0 && !session_.structured) {
        return {Errno::invalid, "structured replies were not negotiated"};
    }
    if (row.writes && offered_.read_only()) {
        return {Errno::not_permitted, "the export is read-only"};
    }
    if (request_.length > row.most) {
        return {Errno::invalid, "the request is too long"};
    }
    if (row.past_end == Errno::none) {
        return request_.offset != 0 ? Refusal{Errno::invalid, "the command has no range"}
                                    : Refusal{};
    }
    if (request_.offset > offered_.size() || request_.length > offered_.size() - request_.offset) {
        return {row.past_end, "the range reaches past the end of the disk"};
    }
    if (row.takes_length && request_.length == 0) {
        return {Errno::invalid, "the range is empty"};
    }
    return {};
}

// Replies.

Next Transmission::send(std::size_t header_size, std::size_t length)
{
    const auto bytes = std::span{room_}.subspan(kHeadRoom - header_size, header_size + length);
    return stream_.write(bytes) ? Next::request : Next::leave;
}

Next Transmission::succeed()
{
    if (session_.structured && request_.command == Command::read) {
        chunk_head(head(ChunkHeader::kSize), Chunk::none, kChunkDone, 0);
        return send(ChunkHeader::kSize, 0);
    }
    SimpleReply{Errno::none, request_.cookie}.encode(head(SimpleReply::kSize));
    return send(SimpleReply::kSize, 0);
}

Next Transmission::refuse(Refusal why)
{
    if (session_.structured) {
        return send_error(Chunk::error, why, 0);
    }
    SimpleReply{why.error, request_.cookie}.encode(head(SimpleReply::kSize));
    return send(SimpleReply::kSize, 0);
}

/// The error of a read that has been answered in part.
Next Transmission::refuse_at(Refusal why, u64 offset)
{
    return send_error(Chunk::error_offset, why, offset);
}

Next Transmission::send_error(Chunk type, Refusal why, u64 offset)
{
    const std::size_t text = why.message.size(); // ours, much shorter than the buffer
    const std::size_t tail = type == Chunk::error_offset ? 8 : 0;
    const std::size_t length = 6 + text + tail;
    base::store_be<u32>(buffer_, 0, static_cast<u32>(why.error));
    base::store_be<base::u16>(buffer_, 4, static_cast<base::u16>(text));
    std::ranges::copy(why.message, buffer_.begin() + 6);
    if (tail != 0) {
        base::store_be<u64>(buffer_, 6 + text, offset);
    }
    chunk_head(head(ChunkHeader::kSize), type, kChunkDone, static_cast<u32>(length));
    return send(ChunkHeader::kSize, length);
}

// Reading.

Next Transmission::read()
{
    if (request_.length == 0) {
        return succeed();
    }
    if (!session_.structured) {
        return read_simple();
    }
    return (request_.flags & kCommandDontFragment) != 0 ? read_unfragmented() : read_chunks();
}

/// The range of `length` from the start is good when this is sent; an error later than in the first
/// piece can only be told by leaving ("NBD_CMD_READ", "Simple replies").
Next Transmission::read_simple()
{
    std::size_t header = SimpleReply::kSize;
    const u64 end = request_.offset + request_.length;
    for (u64 at = request_.offset; at < end;) {
        const std::size_t n = std::min<u64>(end - at, kPiece);
        if (auto done = offered_.read(at, buffer_.first(n)); !done) {
            return header != 0 ? refuse(refusal_of(done.error(), false)) : Next::leave;
        }
        SimpleReply{Errno::none, request_.cookie}.encode(head(SimpleReply::kSize));
        if (send(header, n) == Next::leave) {
            return Next::leave;
        }
        header = 0;
        at += n;
    }
    return Next::request;
}

/// What is to be sent as one chunk: a hole, or data up to the next hole that is worth telling of.
Result<Export::Run> Transmission::next_run(u64 at, u64 end)
{
    Export::Run run{.length = 0, .zero = true, .hole = true};
    while (at + run.length < end) {
        auto found = offered_.run_at(at + run.length, end - at - run.length);
        if (!found) {
            // What comes before is sent; the error is met again.
            return run.length != 0 ? Result<Export::Run>{run} : found;
        }
        const Export::Run& next = found.value();
        if (run.length == 0) {
            run = next;
        } else if (next.zero == run.zero) {
            run.length += next.length;
        } else if (run.zero ? run.length < kLeastHole : next.length < kLeastHole) {
            run.length += next.length;
            run.zero = false;
        } else {
            break;
        }
        if (!run.zero && run.length >= kPiece) {
            run.length = kPiece;
            break;
        }
    }
    return run;
}

Next Transmission::send_hole(u64 at, u64 length, bool last)
{
    base::store_be<u64>(buffer_, 0, at);
    base::store_be<u32>(buffer_, 8, static_cast<u32>(length));
    chunk_head(head(ChunkHeader::kSize), Chunk::offset_hole, last ? kChunkDone : 0, 12);
    return send(ChunkHeader::kSize, 12);
}

Next Transmission::read_chunks()
{
    const u64 end = request_.offset + request_.length;
    for (u64 at = request_.offset; at < end;) {
        const auto run = next_run(at, end);
        if (!run) {
            return refuse_at(refusal_of(run.error(), false), at);
        }
        const u64 n = run.value().length;
        const bool last = at + n == end;
        if (run.value().zero) {
            if (send_hole(at, n, last) == Next::leave) {
                return Next::leave;
            }
        } else {
            if (auto done = offered_.read(at, buffer_.first(n)); !done) {
                return refuse_at(refusal_of(done.error(), false), at);
            }
            constexpr std::size_t kHead = ChunkHeader::kSize + 8;
            const auto bytes = head(kHead);
            chunk_head(bytes, Chunk::offset_data, last ? kChunkDone : 0, static_cast<u32>(8 + n));
            base::store_be<u64>(bytes, ChunkHeader::kSize, at);
            if (send(kHead, n) == Next::leave) {
                return Next::leave;
            }
        }
        at += n;
    }
    return Next::request;
}

/// One content chunk. An error in its midst is told by a chunk after it; what could not be read is
/// sent as zeroes ("NBD_CMD_READ", "Structured replies").
Next Transmission::read_unfragmented()
{
    const u64 end = request_.offset + request_.length;
    auto run = next_run(request_.offset, end);
    if (run && run.value().zero && run.value().length == request_.length) {
        return send_hole(request_.offset, request_.length, true);
    }
    std::size_t header = ChunkHeader::kSize + 8;
    Refusal refusal;
    u64 bad = 0;
    for (u64 at = request_.offset; at < end;) {
        const std::size_t n = std::min<u64>(end - at, kPiece);
        const auto piece = buffer_.first(n);
        const Status done = refusal.error == Errno::none ? offered_.read(at, piece) : base::ok();
        if (!done) {
            refusal = refusal_of(done.error(), false);
            bad = at;
            if (header != 0) {
                return refuse_at(refusal, bad);
            }
        }
        if (refusal.error != Errno::none) {
            std::ranges::fill(piece, u8{0});
        }
        if (header != 0) {
            const auto bytes = head(header);
            chunk_head(bytes, Chunk::offset_data, 0, 8 + request_.length);
            base::store_be<u64>(bytes, ChunkHeader::kSize, request_.offset);
        }
        if (send(header, n) == Next::leave) {
            return Next::leave;
        }
        header = 0;
        at += n;
    }
    return refusal.error != Errno::none ? refuse_at(refusal, bad) : succeed();
}

// Writing.

Next Transmission::finish_write(const Status& done)
{
    if (!done) {
        return refuse(refusal_of(done.error(), true));
    }
    if ((request_.flags & kCommandFua) != 0) {
        return flush();
    }
    return succeed();
}

/// The data follows the request, and is taken also when it is not wanted; but not too much of it.
Next Transmission::write()
{
    if (request_.length > kMaxRequest) {
        return Next::leave;
    }
    const auto row = std::ranges::find(kRows, Command::write, &Row::command);
    Refusal refusal = check(*row);
    for (u64 taken = 0; taken < request_.length;) {
        const std::size_t n = std::min<u64>(request_.length - taken, kPiece);
        if (!stream_.read(buffer_.first(n))) {
            return Next::leave;
        }
        if (refusal.error == Errno::none) {
            if (auto done = offered_.write(request_.offset + taken, buffer_.first(n)); !done) {
                refusal = refusal_of(done.error(), true);
            }
        }
        taken += n;
    }
    return refusal.error != Errno::none ? refuse(refusal) : finish_write(base::ok());
}

Next Transmission::flush()
{
    const Status done = offered_.flush();
    return done ? succeed() : refuse(refusal_of(done.error(), true));
}

Next Transmission::trim()
{
    return finish_write(offered_.trim(request_.offset, request_.length));
}

Next Transmission::write_zeroes()
{
    const bool provisioned = (request_.flags & kCommandNoHole) != 0;
    return finish_write(offered_.write_zeroes(request_.offset, request_.length, provisioned));
}

/// A hint that the client will read this soon: so do we.
Next Transmission::cache()
{
    const u64 end = request_.offset + request_.length;
    for (u64 at = request_.offset; at < end;) {
        const std::size_t n = std::min<u64>(end - at, kPiece);
        if (auto done = offered_.read(at, buffer_.first(n)); !done) {
            return refuse(refusal_of(done.error(), false));
        }
        at += n;
    }
    return succeed();
}

/// "NBD_CMD_BLOCK_STATUS", "NBD_REPLY_TYPE_BLOCK_STATUS". May answer for less than was asked.
Next Transmission::block_status()
{
    if (!session_.allocation) {
        return refuse({Errno::invalid, "no metadata context was selected"});
    }
    const std::size_t most = (request_.flags & kCommandRequestOne) != 0 ? 1 : kMaxDescriptors;
    const u64 end = request_.offset + request_.length;
    base::store_be<u32>(buffer_, 0, kAllocationContext);
    std::size_t count = 0;
    u32 length = 0; // of the last descriptor
    u32 state = 0;
    u64 at = request_.offset;
    for (int i = 0; i < kMaxLookups && at < end; ++i) {
        const auto run = offered_.run_at(at, end - at);
        if (!run) {
            if (count != 0) {
                break;
            }
            return refuse(refusal_of(run.error(), false));
        }
        const u32 flags = (run.value().hole ? kStateHole : 0) | (run.value().zero ? kStateZero : 0);
        if (count == 0 || flags != state) {
            if (count == most) {
                break;
            }
            ++count;
            length = 0;
            state = flags;
        }
        length += static_cast<u32>(run.value().length);
        at += run.value().length;
        base::store_be<u32>(buffer_, 4 + (count - 1) * 8, length);
        base::store_be<u32>(buffer_, 8 + (count - 1) * 8, state);
    }
    const std::size_t size = 4 + count * 8;
    chunk_head(head(ChunkHeader::kSize), Chunk::block_status, kChunkDone, static_cast<u32>(size));
    return send(ChunkHeader::kSize, size);
}

} // namespace

void transmit(Stream& stream, Export& offered, const Session& session)
{
    Transmission{stream, offered, session}.run();
}

void serve_client(Stream& stream, Export& offered, bool tls_required)
{
    if (const auto session = shake_hands(stream, offered, tls_required)) {
        transmit(stream, offered, *session);
    }
}

} // namespace img::nbd
