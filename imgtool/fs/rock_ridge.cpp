#include "imgtool/fs/rock_ridge.hpp"

#include "base/endian.hpp"
#include "imgtool/fs/calendar.hpp"

#include <algorithm>
#include <array>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

constexpr std::size_t kRecordSize = 33; // of a directory record, before the name
constexpr int kMaxContinuations = 32;
constexpr std::size_t kXaSize = 14;        // bytes of a CD-XA record
constexpr std::size_t kMaxText = 64 << 10; // bytes of a name or link

/// The field behind the name, which is padded to an even length (ECMA-119 9.1.12, 9.1.13).
std::span<const u8> system_use(std::span<const u8> record)
{
    const std::size_t begin = kRecordSize + record[32] + (record[32] % 2 == 0 ? 1 : 0);
    return begin < record.size() ? record.subspan(begin) : std::span<const u8>{};
}

/// System Description CD-ROM XA (Philips and Sony, 1991), II.2.7: the record that discs of this
/// kind have before all else.
bool has_xa(std::span<const u8> field)
{
    return field.size() >= kXaSize && field[6] == 'X' && field[7] == 'A';
}

/// Where entries go on: SUSP 5.1.
struct Continuation {
    u64 at = 0;     // bytes
    u64 length = 0; // bytes; 0: nowhere
};

struct LinkText {
    std::string text = {};
    bool joined = false; // the last component goes on in the next one
};

/// RRIP 4.1.3.1, the component records of an SL entry.
void add_link(std::span<const u8> components, LinkText& link)
{
    while (components.size() >= 2) {
        const u8 flags = components[0];
        const std::size_t length = components[1];
        if (length > components.size() - 2) {
            return;
        }
        const bool is_root = (flags & 0x08) != 0;
        if (!link.text.empty() && !link.joined && !link.text.ends_with('/')) {
            link.text += '/';
        }
        if ((flags & 0x02) != 0) {
            link.text += ".";
        } else if ((flags & 0x04) != 0) {
            link.text += "..";
        } else if (is_root) {
            link.text = "/";
        } else {
            const auto part = components.subspan(2, length);
            link.text.append(part.begin(), part.end());
        }
        link.joined = (flags & 0x01) != 0;
        components = components.subspan(2 + length);
    }
}

/// RRIP 4.1.6: the second time is that of the last change, whether or not the first is there.
std::optional<UnixTime> parse_times(std::span<const u8> e)
{
    const u8 flags = e[4];
    const bool is_long = (flags & 0x80) != 0;
    const std::size_t length = is_long ? 17 : 7;
    const std::size_t at = 5 + ((flags & 0x01) != 0 ? length : 0);
    if ((flags & 0x02) == 0 || at + length > e.size()) {
        return std::nullopt;
    }
    const auto t = e.subspan(at, length);
    std::optional<UnixTime> time;
    if (is_long) {
        const auto number = [&](std::size_t begin, std::size_t digits) {
            unsigned value = 0;
            for (std::size_t i = begin; i < begin + digits; ++i) {
                value = value * 10 + (t[i] >= '0' && t[i] <= '9' ? t[i] - '0' : 0U);
            }
            return value;
        };
        time = unix_time(static_cast<int>(number(0, 4)), number(4, 2), number(6, 2), number(8, 2),
                         number(10, 2), number(12, 2));
    } else {
        time = unix_time(1900 + t[0], t[1], t[2], t[3], t[4], t[5]);
    }
    if (time) {
        *time -= static_cast<std::int8_t>(t[length - 1]) * 900; // quarters of an hour from UTC
    }
    return time;
}

class Parser {
public:
    explicit Parser(u64 block_size) : block_size_{block_size} {}

    /// Takes all entries of a field; returns where they go on.
    Result<Continuation> take(std::span<const u8> field)
    {
        Continuation next;
        while (field.size() >= 4) {
            const std::size_t length = field[2];
            if (length < 4 || length > field.size()) {
                break; // padding
            }
            const auto e = field.first(length);
            const std::string_view name{reinterpret_cast<const char*>(e.data()), 2};
            if (name == "ST") {
                return Continuation{};
            }
            if (name == "CE" && length >= 28) {
                next = {.at = u64{load_le<u32>(e, 4)} * block_size_ + load_le<u32>(e, 12),
                        .length = load_le<u32>(e, 20)};
            }
            take_entry(name, e);
            if (facts_.name.size() > kMaxText || link_.text.size() > kMaxText) {
                return fail(Errc::corrupt, "a name is too long");
            }
            field = field.subspan(length);
        }
        return next;
    }

    RockRidgeFacts finish()
    {
        facts_.link_target = std::move(link_.text);
        return std::move(facts_);
    }

private:
    void take_entry(std::string_view name, std::span<const u8> e)
    {
        if (name == "NM" && e.size() > 5 && (e[4] & 0x06) == 0) {
            facts_.name.append(e.begin() + 5, e.end());
        } else if (name == "PX" && e.size() >= 36) {
            facts_.mode = load_le<u32>(e, 4);
            facts_.user = load_le<u32>(e, 20);
            facts_.group = load_le<u32>(e, 28);
        } else if (name == "TF" && e.size() >= 5) {
            facts_.modified = parse_times(e);
        } else if (name == "SL" && e.size() >= 5) {
            add_link(e.subspan(5), link_);
        } else if (name == "CL" && e.size() >= 12) {
            facts_.child = load_le<u32>(e, 4);
        } else if (name == "RE") {
            facts_.relocated = true;
        } else if (name == "ZF") {
            facts_.packed = true;
        }
    }

    u64 block_size_;
    RockRidgeFacts facts_;
    LinkText link_;
};

} // namespace

Result<RockRidgeFacts> RockRidge::read(std::span<const u8> record) const
{
    Parser parser{block_size_};
    auto field = system_use(record);
    // Some writers have CD-XA records and do not say so in LEN_SKP.
    const std::size_t skip = skip_ == 0 && has_xa(field) ? kXaSize : skip_;
    field = field.subspan(std::min(skip, field.size()));
    auto next = parser.take(field);
    std::vector<u8> bytes;
    for (int i = 0; next && next.value().length != 0; ++i) {
        if (i == kMaxContinuations || next.value().length > 2048) {
            return fail(Errc::corrupt, "what belongs to a file's name has no end");
        }
        bytes.resize(next.value().length);
        if (auto done = volume_.read(next.value().at, bytes); !done) {
            return std::move(done).error();
        }
        next = parser.take(bytes);
    }
    if (!next) {
        return std::move(next).error();
    }
    return parser.finish();
}

std::optional<std::size_t> find_rock_ridge(const Volume& volume, u64 root)
{
    std::array<u8, 255> bytes{};
    if (!volume.read(root, bytes) || bytes[0] < kRecordSize + 1 || bytes[32] != 1) {
        return std::nullopt;
    }
    auto field = system_use(std::span<const u8>{bytes}.first(bytes[0]));
    // SUSP 5.3: SP comes first, on CD-XA discs behind their record.
    field = field.subspan(has_xa(field) ? kXaSize : 0);
    if (field.size() < 7 || field[0] != 'S' || field[1] != 'P' || field[4] != 0xbe ||
        field[5] != 0xef) {
        return std::nullopt;
    }
    // SUSP alone says nothing of POSIX; then there is also no PX, which all of RRIP's files have.
    const std::size_t skip = field[6];
    for (auto rest = field; rest.size() >= 4 && rest[2] >= 4 && rest[2] <= rest.size();
         rest = rest.subspan(rest[2])) {
        if ((rest[0] == 'P' && rest[1] == 'X') || (rest[0] == 'R' && rest[1] == 'R') ||
            (rest[0] == 'C' && rest[1] == 'E')) {
            return skip;
        }
    }
    return std::nullopt;
}

void apply(const RockRidgeFacts& facts, u64 block_size, std::string& name, Node& node)
{
    if (!facts.name.empty()) {
        name = facts.name;
    }
    if (facts.mode) {
        node.mode = *facts.mode & 07777;
        node.user = facts.user;
        node.group = facts.group;
        switch (*facts.mode & 0xf000) {
        case 0x4000:
            node.kind = Kind::folder;
            break;
        case 0x8000:
            break;
        case 0xa000:
            node.kind = Kind::link;
            node.link_target = facts.link_target;
            node.size = facts.link_target.size();
            break;
        default:
            node.kind = Kind::special;
            node.size = 0;
        }
    }
    if (facts.modified) {
        node.modified = facts.modified;
    }
    if (facts.child) {
        node.kind = Kind::folder;
        node.id = *facts.child * block_size;
    }
    if (facts.packed) {
        node.refusal = "not supported: compressed files of ISO 9660 (zisofs)";
    }
}

} // namespace img::fs
