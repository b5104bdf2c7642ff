#include "imgtool/nbd/handshake.hpp"

#include "imgtool/nbd/protocol.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace img::nbd {

namespace {

constexpr u32 kMaxOptionData = u32{64} << 10; // bytes kept of an option
constexpr u32 kMaxSkipped = u32{1} << 20;     // bytes of a longer one that are read to answer it
constexpr int kMaxOptions = 256;              // a client that sends more does not mean well
constexpr u32 kPreferredBlock = 65536;        // bytes; clusters are seldom longer
constexpr std::string_view kAllocation = "base:allocation";

/// Reads the fields of an option's data.
class Fields {
public:
    explicit Fields(std::span<const u8> bytes) : bytes_{bytes} {}

    template <class T>
    std::optional<T> number()
    {
        if (bytes_.size() < sizeof(T)) {
            return std::nullopt;
        }
        const T value = base::load_be<T>(bytes_, 0);
        bytes_ = bytes_.subspan(sizeof(T));
        return value;
    }
    /// A string after its length of 32 bits; nothing when it is cut off or too long.
    std::optional<std::string_view> string()
    {
        const auto length = number<u32>();
        if (!length || *length > bytes_.size() || *length > kMaxString) {
            return std::nullopt;
        }
        const std::string_view text{reinterpret_cast<const char*>(bytes_.data()), *length};
        bytes_ = bytes_.subspan(*length);
        return text;
    }
    bool all_read() const { return bytes_.empty(); }

private:
    std::span<const u8> bytes_;
};

/// What follows an option. `done` and `leave` end the handshake.
enum class Next : u8 { option, done, leave };

class Handshake {
public:
    Handshake(Stream& stream, const Export& offered, bool tls_required)
        : stream_{stream}, offered_{offered}, tls_required_{tls_required}
    {}

    std::optional<Session> run();

private:
    using Handler = Next (Handshake::*)(std::span<const u8> data);
    struct Row {
        Option option;
        Handler handler;
        bool before_tls; // allowed when TLS is required and not on yet
        bool has_data;
    };
    static const std::array<Row, 9> kRows;

    bool greet();
    Next take_option();
    Next take(const Row* row, u32 length);
    Next skip(u32 length);

    Next export_name(std::span<const u8> data);
    Next abort(std::span<const u8> data);
    Next list(std::span<const u8> data);
    Next start_tls(std::span<const u8> data);
    Next info(std::span<const u8> data);
    Next go(std::span<const u8> data);
    Next structured_reply(std::span<const u8> data);
    Next list_meta_context(std::span<const u8> data);
    Next set_meta_context(std::span<const u8> data);

    Next describe(std::span<const u8> data, Next then);
    Next meta_context(std::span<const u8> data, bool select);
    bool send_info(Info type, std::span<const u8> payload);
    u16 transmission_flags() const;

    bool needs_tls() const { return tls_required_ && !stream_.secure(); }
    bool reply(OptionReply type, std::span<const u8> data = {});
    /// An error with a text for people.
    Next refuse(OptionReply type, std::string_view message);
    Next acknowledge(Next then = Next::option)
    {
        return reply(OptionReply::ack) ? then : Next::leave;
    }

    Stream& stream_;
    const Export& offered_;
    bool tls_required_;
    bool fixed_ = false;     // the client understands replies to options
    bool no_zeroes_ = false; // NBD_FLAG_C_NO_ZEROES
    u32 option_ = 0;         // that is being answered
    Session session_;
};

const std::array<Handshake::Row, 9> Handshake::kRows{{
    {Option::export_name, &Handshake::export_name, false, true},
    {Option::abort, &Handshake::abort, true, true},
    {Option::list, &Handshake::list, false, false},
    {Option::start_tls, &Handshake::start_tls, true, false},
    {Option::info, &Handshake::info, false, true},
    {Option::go, &Handshake::go, false, true},
    {Option::structured_reply, &Handshake::structured_reply, false, false},
    {Option::list_meta_context, &Handshake::list_meta_context, false, true},
    {Option::set_meta_context, &Handshake::set_meta_context, false, true},
}};

std::span<const u8> bytes_of(std::string_view text)
{
    return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

bool Handshake::reply(OptionReply type, std::span<const u8> data)
{
    std::vector<u8> bytes(OptionReplyHeader::kSize);
    OptionReplyHeader{option_, type, static_cast<u32>(data.size())}.encode(bytes);
    bytes.insert(bytes.end(), data.begin(), data.end());
    return static_cast<bool>(stream_.write(bytes));
}

Next Handshake::refuse(OptionReply type, std::string_view message)
{
    return reply(type, bytes_of(message)) ? Next::option : Next::leave;
}

/// "Newstyle negotiation", "Client flags".
bool Handshake::greet()
{
    if (!stream_.write(encode_greeting(kFixedNewstyle | kNoZeroes))) {
        return false;
    }
    std::array<u8, kClientFlagsSize> bytes{};
    if (!stream_.read(bytes)) {
        return false;
    }
    const u32 flags = base::load_be<u32>(bytes, 0);
    fixed_ = (flags & kFixedNewstyle) != 0;
    no_zeroes_ = (flags & kNoZeroes) != 0;
    return (flags & ~u32{kFixedNewstyle | kNoZeroes}) == 0;
}

std::optional<Session> Handshake::run()
{
    if (!greet()) {
        return std::nullopt;
    }
    for (int i = 0; i < kMaxOptions; ++i) {
        switch (take_option()) {
        case Next::option:
            break;
        case Next::done:
            stream_.handshake_done();
            return session_;
        case Next::leave:
            return std::nullopt;
        }
    }
    return std::nullopt;
}

Next Handshake::take_option()
{
    std::array<u8, OptionHeader::kSize> bytes{};
    if (!stream_.read(bytes)) {
        return Next::leave;
    }
    const OptionHeader header = OptionHeader::decode(bytes);
    if (header.magic != kOptionMagic) {
        return Next::leave;
    }
    option_ = header.option;
    const auto row = std::ranges::find(kRows, static_cast<Option>(header.option), &Row::option);
    if (!fixed_ && header.option != static_cast<u32>(Option::export_name)) {
        return Next::leave; // "Option types": no other is valid then
    }
    return take(row == kRows.end() ? nullptr : &*row, header.length);
}

Next Handshake::take(const Row* row, u32 length)
{
    if (length > kMaxOptionData) {
        if (row != nullptr && row->option == Option::export_name) {
            return Next::leave; // there is no reply to it that is an error
        }
        const Next next = skip(length);
        return next == Next::leave ? next
                                   : refuse(OptionReply::error_too_big, "the option is too long");
    }
    std::vector<u8> data(length);
    if (!stream_.read(data)) {
        return Next::leave;
    }
    if (needs_tls() && (row == nullptr || !row->before_tls)) {
        // "FORCEDTLS mode".
        return option_ == static_cast<u32>(Option::export_name)
                   ? Next::leave
                   : refuse(OptionReply::error_tls_required, "TLS must be started first");
    }
    if (row == nullptr) {
        return refuse(OptionReply::error_unsupported, "this option is not supported");
    }
    if (!row->has_data && length != 0) {
        return refuse(OptionReply::error_invalid, "this option has no data");
    }
    return (this->*row->handler)(data);
}

Next Handshake::skip(u32 length)
{
    if (length > kMaxSkipped) {
        return Next::leave;
    }
    std::array<u8, 4096> bytes{};
    while (length != 0) {
        const u32 n = std::min<u32>(length, bytes.size());
        if (!stream_.read(std::span{bytes}.first(n))) {
            return Next::leave;
        }
        length -= n;
    }
    return Next::option;
}

u16 Handshake::transmission_flags() const
{
    u16 flags = kHasFlags | kSendFlush | kSendFua | kSendCache;
    // All connections share one disk, so that a flush on any is a flush for all.
    flags |= kCanMultiConnect;
    flags |= offered_.read_only() ? kReadOnly : kSendTrim | kSendWriteZeroes;
    flags |= session_.structured ? kSendDontFragment : 0;
    return flags;
}

Next Handshake::export_name(std::span<const u8> data)
{
    if (!std::ranges::equal(data, bytes_of(offered_.name()))) {
        return Next::leave;
    }
    std::array<u8, 10 + kZeroesAfterExport> bytes{};
    base::store_be<u64>(bytes, 0, offered_.size());
    base::store_be<u16>(bytes, 8, transmission_flags());
    const auto sent = std::span{bytes}.first(no_zeroes_ ? 10 : bytes.size());
    return stream_.write(sent) ? Next::done : Next::leave;
}

Next Handshake::abort(std::span<const u8>)
{
    return acknowledge(Next::leave);
}

Next Handshake::list(std::span<const u8>)
{
    const std::string& name = offered_.name();
    std::vector<u8> data(4);
    base::store_be<u32>(data, 0, static_cast<u32>(name.size()));
    data.insert(data.end(), name.begin(), name.end());
    data.insert(data.end(), offered_.description().begin(), offered_.description().end());
    return reply(OptionReply::server, data) ? acknowledge() : Next::leave;
}

/// "TLS support".
Next Handshake::start_tls(std::span<const u8>)
{
    if (stream_.secure()) {
        return refuse(OptionReply::error_invalid, "TLS has been started already");
    }
    if (!stream_.can_secure()) {
        return refuse(OptionReply::error_policy, "this server was not given certificates for TLS");
    }
    // "NBD_OPT_STARTTLS": nothing that was negotiated in the clear counts.
    session_ = {};
    return reply(OptionReply::ack) && stream_.start_tls() ? Next::option : Next::leave;
}

Next Handshake::info(std::span<const u8> data)
{
    return describe(data, Next::option);
}

Next Handshake::go(std::span<const u8> data)
{
    return describe(data, Next::done);
}

bool Handshake::send_info(Info type, std::span<const u8> payload)
{
    std::vector<u8> data(2);
    base::store_be<u16>(data, 0, static_cast<u16>(type));
    data.insert(data.end(), payload.begin(), payload.end());
    return reply(OptionReply::info, data);
}

/// "NBD_OPT_INFO" and "NBD_OPT_GO".
Next Handshake::describe(std::span<const u8> data, Next then)
{
    Fields fields{data};
    const auto name = fields.string();
    const auto count = fields.number<u16>();
    bool wants_name = false;
    bool wants_description = false;
    bool wants_blocks = false;
    for (u32 i = 0; count && i < *count; ++i) {
        const auto wanted = fields.number<u16>();
        if (!wanted) {
            return refuse(OptionReply::error_invalid, "the list of information is cut off");
        }
        wants_name |= *wanted == static_cast<u16>(Info::name);
        wants_description |= *wanted == static_cast<u16>(Info::description);
        wants_blocks |= *wanted == static_cast<u16>(Info::block_size);
    }
    if (!name || !count || !fields.all_read()) {
        return refuse(OptionReply::error_invalid, "the option's data has the wrong length");
    }
    if (*name != offered_.name()) {
        return refuse(OptionReply::error_unknown, "there is no export of that name");
    }
    std::array<u8, 10> size{};
    base::store_be<u64>(size, 0, offered_.size());
    base::store_be<u16>(size, 8, transmission_flags());
    bool sent = send_info(Info::export_size, size);
    if (sent && wants_name) {
        sent = send_info(Info::name, bytes_of(offered_.name()));
    }
    if (sent && wants_description && !offered_.description().empty()) {
        sent = send_info(Info::description, bytes_of(offered_.description()));
    }
    if (sent && wants_blocks) {
        std::array<u8, 12> blocks{}; // least, preferred, most
        base::store_be<u32>(blocks, 0, 1);
        base::store_be<u32>(blocks, 4, kPreferredBlock);
        base::store_be<u32>(blocks, 8, kMaxRequest);
        sent = send_info(Info::block_size, blocks);
    }
    return sent ? acknowledge(then) : Next::leave;
}

Next Handshake::structured_reply(std::span<const u8>)
{
    session_.structured = true;
    return acknowledge();
}

Next Handshake::list_meta_context(std::span<const u8> data)
{
    return meta_context(data, false);
}

Next Handshake::set_meta_context(std::span<const u8> data)
{
    session_.allocation = false; // also when this fails
    return meta_context(data, true);
}

/// "NBD_OPT_LIST_META_CONTEXT" and "NBD_OPT_SET_META_CONTEXT", "Metadata querying".
Next Handshake::meta_context(std::span<const u8> data, bool select)
{
    if (!session_.structured) {
        return refuse(OptionReply::error_invalid, "structured replies must be negotiated first");
    }
    Fields fields{data};
    const auto name = fields.string();
    const auto count = fields.number<u32>();
    // Listing without a query asks for everything; so does "base:", of that namespace.
    bool found = !select && count == 0U;
    for (u32 i = 0; count && i < *count; ++i) {
        const auto query = fields.string();
        if (!query) {
            return refuse(OptionReply::error_invalid, "the list of queries is cut off");
        }
        found |= *query == kAllocation || (!select && *query == "base:");
    }
    if (!name || !count || !fields.all_read()) {
        return refuse(OptionReply::error_invalid, "the option's data has the wrong length");
    }
    if (*name != offered_.name()) {
        return refuse(OptionReply::error_unknown, "there is no export of that name");
    }
    if (found) {
        std::vector<u8> context(4); // the ID is reserved in lists
        base::store_be<u32>(context, 0, select ? kAllocationContext : 0);
        context.insert(context.end(), kAllocation.begin(), kAllocation.end());
        if (!reply(OptionReply::meta_context, context)) {
            return Next::leave;
        }
    }
    session_.allocation = select && found;
    return acknowledge();
}

} // namespace

std::optional<Session> shake_hands(Stream& stream, const Export& offered, bool tls_required)
{
    return Handshake{stream, offered, tls_required}.run();
}

} // namespace img::nbd
