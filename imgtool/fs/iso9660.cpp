#include "imgtool/fs/iso9660.hpp"

#include "base/endian.hpp"
#include "imgtool/fs/calendar.hpp"
#include "imgtool/fs/el_torito.hpp"
#include "imgtool/fs/recognize.hpp"
#include "imgtool/fs/rock_ridge.hpp"
#include "imgtool/unicode.hpp"

#include <algorithm>
#include <array>

namespace img::fs {

namespace {

using base::Errc;
using base::fail;
using base::load_le;

constexpr u64 kSector = 2048;        // bytes
constexpr u64 kFirstDescriptor = 16; // sector
constexpr u64 kMaxDescriptors = 64;
constexpr u64 kMaxFolder = u64{128} << 20; // bytes
constexpr std::size_t kRecordSize = 33;    // bytes before the name
constexpr std::size_t kRootRecord = 156;   // in a volume descriptor

// File flags, section 10.1.6 (9.1.6 in the first editions).
constexpr u8 kIsFolder = 0x02;
constexpr u8 kIsAssociated = 0x04;
constexpr u8 kMoreExtents = 0x80;

/// Where names come from: `enhanced` are those of ISO 9660:1999, "level 4".
enum class Names : u8 { plain, enhanced, joliet, rock_ridge };

/// What is on the disc beside the files.
struct Beside {
    bool udf = false;
    std::optional<u64> boot_catalog = {}; // bytes
};

class Iso9660 final : public FileSystem {
public:
    Iso9660(const Volume& volume, Names names, u64 block_size, Node root, std::string label,
            std::size_t skip, Beside beside)
        : volume_{volume}, names_{names}, block_size_{block_size}, root_{std::move(root)},
          label_{std::move(label)}, rock_ridge_{volume, block_size, skip}, beside_{beside}
    {}

    std::string_view type() const override { return "iso9660"; }
    std::string label() const override { return label_; }
    std::string note() const override
    {
        return beside_.udf ? "there is a UDF file system too, which is not supported: it may have "
                             "more files than ISO 9660 shows"
                           : "";
    }
    bool ignores_case() const override { return names_ != Names::rock_ridge; }
    Result<std::vector<BootEntry>> boot_entries() override
    {
        return beside_.boot_catalog ? read_boot_catalog(volume_, *beside_.boot_catalog)
                                    : std::vector<BootEntry>{};
    }

    Result<Node> root() override { return root_; }
    Result<Listing> list(const Node& folder) override;
    Status read(const Node& file, u64 offset, std::span<u8> into) override;

private:
    void add_record(std::span<const u8> record, Listing& listing, bool& continues);
    /// False: the folder is shown elsewhere.
    bool add_facts(std::span<const u8> record, Entry& entry, Listing& listing);
    std::string name_of(std::span<const u8> record) const;
    Status follow_child(Node& node);

    Volume volume_;
    Names names_;
    u64 block_size_; // bytes
    Node root_;
    std::string label_;
    RockRidge rock_ridge_;
    Beside beside_;
};

/// Section 9.1, "Format of a directory record", without the name.
Node node_of(std::span<const u8> r, u64 block_size)
{
    const u64 at = (u64{load_le<u32>(r, 2)} + r[1]) * block_size; // behind an attribute record
    const u64 size = load_le<u32>(r, 10);
    const bool folder = (r[25] & kIsFolder) != 0;
    Node node{.id = at,
              .kind = folder ? Kind::folder : Kind::file,
              .size = size,
              .mode = folder ? 0755U : 0644U,
              .modified = unix_time(1900 + r[18], r[19], r[20], r[21], r[22], r[23]),
              .runs = {{at, size}}};
    if (node.modified) {
        *node.modified -= static_cast<std::int8_t>(r[24]) * 900; // quarters of an hour from UTC
    }
    if (r[26] != 0 || r[27] != 0) {
        node.refusal = "not supported: interleaved files of ISO 9660";
    }
    return node;
}

bool is_record(std::span<const u8> r)
{
    return r.size() > kRecordSize && r[0] > kRecordSize && r[0] <= r.size() &&
           kRecordSize + r[32] <= r[0];
}

/// Section 7.5.1: the file's version, at the end of its name.
void drop_version(std::string& name)
{
    const auto semicolon = name.rfind(';');
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (semicolon != std::string::npos &&
        std::ranges::all_of(std::string_view{name}.substr(semicolon + 1), is_digit)) {
        name.resize(semicolon);
    }
}

std::string Iso9660::name_of(std::span<const u8> record) const
{
    const auto id = record.subspan(kRecordSize, record[32]);
    std::string name = names_ == Names::joliet ? utf8_of_be(id) : std::string{id.begin(), id.end()};
    if (names_ == Names::enhanced) {
        return name; // ISO 9660:1999, 9.1.11: there are no versions, and all characters count
    }
    drop_version(name);
    // The dot of a name without an extension.
    if (names_ != Names::joliet && name.size() > 1 && name.ends_with('.')) {
        name.pop_back();
    }
    return name;
}

/// RRIP 4.1.5.1: the folder has been moved elsewhere; its size is in its own record for itself.
Status Iso9660::follow_child(Node& node)
{
    std::array<u8, kRecordSize + 1> self{};
    if (auto done = volume_.read(node.id, self); !done) {
        return done;
    }
    node.size = load_le<u32>(self, 10);
    node.runs = {{node.id, node.size}};
    return base::ok();
}

bool Iso9660::add_facts(std::span<const u8> record, Entry& entry, Listing& listing)
{
    auto facts = rock_ridge_.read(record);
    if (!facts) { // the file is there all the same, under its other name
        listing.problem = facts.error().message;
        return true;
    }
    if (facts.value().relocated) {
        return false;
    }
    apply(facts.value(), block_size_, entry.name, entry.node);
    if (facts.value().child) {
        if (auto done = follow_child(entry.node); !done) {
            entry.node.refusal = done.error().message;
        }
    }
    return true;
}

/// `continues` says, before and after, whether the entry is another part of the last file.
void Iso9660::add_record(std::span<const u8> record, Listing& listing, bool& continues)
{
    const u8 flags = record[25];
    const bool self = record[32] == 1 && record[33] <= 1; // section 7.6.2: this folder, its parent
    if (self || (flags & kIsAssociated) != 0) {
        return;
    }
    Entry entry{.name = name_of(record), .node = node_of(record, block_size_)};
    const bool more = (flags & kMoreExtents) != 0;
    if (continues && !listing.entries.empty()) {
        Node& file = listing.entries.back().node;
        file.size += entry.node.size;
        file.runs.push_back(entry.node.runs.front());
        continues = more;
        return;
    }
    continues = more;
    if (names_ == Names::rock_ridge && !add_facts(record, entry, listing)) {
        return;
    }
    listing.entries.push_back(std::move(entry));
}

Result<Listing> Iso9660::list(const Node& folder)
{
    if (!folder.refusal.empty()) {
        return fail(Errc::unsupported, folder.refusal);
    }
    if (folder.size > kMaxFolder || folder.size > volume_.size()) {
        return fail(Errc::corrupt, "a folder is too long");
    }
    Listing listing;
    std::vector<u8> sector(kSector);
    bool continues = false;
    for (u64 at = 0; at < folder.size; at += kSector) {
        const auto bytes = std::span{sector}.first(std::min(kSector, folder.size - at));
        if (auto done = volume_.read(folder.runs.front().first + at, bytes); !done) {
            listing.problem = done.error().message;
            continue;
        }
        // Records do not cross the ends of sectors; a length of 0 ends those of this one.
        for (std::span<const u8> rest = bytes; !rest.empty() && rest[0] != 0;
             rest = rest.subspan(rest[0])) {
            if (!is_record(rest)) {
                listing.problem = "a folder is damaged";
                break;
            }
            if (listing.entries.size() == kMaxEntries) {
                listing.problem = "a folder has too many entries";
                return listing;
            }
            add_record(rest.first(rest[0]), listing, continues);
        }
    }
    return listing;
}

Status Iso9660::read(const Node& file, u64 offset, std::span<u8> into)
{
    for (const auto& [at, length] : file.runs) {
        if (offset >= length) {
            offset -= length;
            continue;
        }
        const auto part = into.first(std::min<u64>(into.size(), length - offset));
        if (auto done = volume_.read(at + offset, part); !done) {
            return done;
        }
        into = into.subspan(part.size());
        offset = 0;
        if (into.empty()) {
            break;
        }
    }
    return into.empty() ? base::ok() : Status{fail(Errc::corrupt, "a file is too short")};
}

std::string trim(std::string text)
{
    text.resize(text.find_last_not_of(std::string_view{" \0", 2}) + 1);
    return text;
}

using Descriptor = std::array<u8, kSector>;

/// The volume descriptors that are of use: section 8.
struct Found {
    bool primary = false, joliet = false, enhanced = false;
    Descriptor of_primary{}, of_joliet{}, of_enhanced{};
    std::optional<u64> boot_catalog = {}; // bytes
};

/// Joliet Specification, "Escape Sequences": UCS-2 level 1, 2 or 3.
bool is_joliet(const Descriptor& d)
{
    return d[0] == 2 && d[88] == 0x25 && d[89] == 0x2f &&
           (d[90] == 0x40 || d[90] == 0x43 || d[90] == 0x45);
}

/// Section 8.5, "Enhanced Volume Descriptor": a supplementary one of version 2.
bool is_enhanced(const Descriptor& d)
{
    return d[0] == 2 && d[6] == 2;
}

void keep_first(const Descriptor& d, bool& found, Descriptor& into)
{
    if (!found) {
        found = true;
        into = d;
    }
}

Result<Found> find_descriptors(const Volume& volume)
{
    Found found;
    for (u64 i = 0; i < kMaxDescriptors; ++i) {
        const u64 at = (kFirstDescriptor + i) * kSector;
        Descriptor d{};
        if (volume.size() < at + kSector) {
            break;
        }
        if (auto done = volume.read(at, d); !done) {
            return std::move(done).error();
        }
        const std::string_view id{reinterpret_cast<const char*>(d.data()) + 1, 5};
        if (id != "CD001" || d[0] == 255) {
            break;
        }
        if (d[0] == 1) {
            keep_first(d, found.primary, found.of_primary);
        } else if (is_joliet(d)) {
            keep_first(d, found.joliet, found.of_joliet);
        } else if (is_enhanced(d)) {
            keep_first(d, found.enhanced, found.of_enhanced);
        } else if (!found.boot_catalog) {
            found.boot_catalog = find_boot_catalog(d);
        }
    }
    return found;
}

} // namespace

Result<std::unique_ptr<FileSystem>> open_iso9660(const Volume& volume)
{
    auto descriptors = find_descriptors(volume);
    if (!descriptors) {
        return std::move(descriptors).error();
    }
    const Found& found = descriptors.value();
    if (!found.primary) {
        return fail(Errc::wrong_format, "this is not an ISO 9660 file system");
    }
    const u64 block_size = load_le<u16>(found.of_primary, 128);
    if (block_size != 512 && block_size != 1024 && block_size != 2048) {
        return fail(Errc::corrupt, "the ISO 9660 file system has an impossible block size");
    }
    const Beside beside{.udf = has_udf(volume), .boot_catalog = found.boot_catalog};
    const auto make = [&](const Descriptor& d, Names names, std::size_t skip) {
        const auto record = std::span{d}.subspan(kRootRecord, kRecordSize + 1);
        const auto label = std::span{d}.subspan(40, 32);
        Node root = node_of(record, block_size);
        root.kind = Kind::folder;
        return std::unique_ptr<FileSystem>{std::make_unique<Iso9660>(
            volume, names, block_size, std::move(root),
            trim(names == Names::joliet ? utf8_of_be(label)
                                        : std::string{label.begin(), label.end()}),
            skip, beside)};
    };
    const auto primary_root =
        node_of(std::span{found.of_primary}.subspan(kRootRecord, kRecordSize + 1), block_size);
    if (const auto skip = find_rock_ridge(volume, primary_root.id)) {
        return make(found.of_primary, Names::rock_ridge, *skip);
    }
    return found.joliet     ? make(found.of_joliet, Names::joliet, 0)
           : found.enhanced ? make(found.of_enhanced, Names::enhanced, 0)
                            : make(found.of_primary, Names::plain, 0);
}

} // namespace img::fs
