#include "imgtool/formats/qcow2/layout.hpp"

#include "base/endian.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::load_be;
using base::Result;
using base::store_be;

struct FeatureName {
    u8 kind; // 0 incompatible, 1 compatible, 2 autoclear
    u8 bit;
    const char* name;
};

/// Written into every image, so that older programs can name what they do not know.
constexpr std::array kFeatureNames{FeatureName{0, 0, "dirty bit"},
                                   FeatureName{0, 1, "corrupt bit"},
                                   FeatureName{0, 2, "external data file"},
                                   FeatureName{0, 3, "compression type"},
                                   FeatureName{0, 4, "extended L2 entries"},
                                   FeatureName{1, 0, "lazy refcounts"},
                                   FeatureName{2, 0, "bitmaps"},
                                   FeatureName{2, 1, "raw external data"}};
constexpr std::size_t kFeatureNameSize = 48; // kind, bit and 46 bytes of name

constexpr u64 kKnownIncompatible = incompatible::dirty | incompatible::corrupt |
                                   incompatible::data_file | incompatible::compression_type |
                                   incompatible::extended_l2;

std::string text_of(std::span<const u8> bytes)
{
    const auto end = std::ranges::find(bytes, u8{0});
    return {bytes.begin(), end};
}

Header parse_fields(std::span<const u8> b)
{
    Header h;
    h.version = load_be<u32>(b, 4);
    h.backing_offset = load_be<u64>(b, 8);
    h.cluster_bits = load_be<u32>(b, 20);
    h.size = load_be<u64>(b, 24);
    h.encryption = load_be<u32>(b, 32);
    h.l1_size = load_be<u32>(b, 36);
    h.l1_offset = load_be<u64>(b, 40);
    h.reftable_offset = load_be<u64>(b, 48);
    h.reftable_clusters = load_be<u32>(b, 56);
    h.snapshot_count = load_be<u32>(b, 60);
    h.snapshots_offset = load_be<u64>(b, 64);
    if (h.version >= 3) {
        h.incompatible_features = load_be<u64>(b, 72);
        h.compatible_features = load_be<u64>(b, 80);
        h.autoclear_features = load_be<u64>(b, 88);
        h.refcount_order = load_be<u32>(b, 96);
        h.header_length = load_be<u32>(b, 100);
    }
    return h;
}

/// What can be said of the first fields alone.
base::Status check_start(std::span<const u8> start)
{
    if (start.size() < kHeaderV2Size || !has_magic(start)) {
        return fail(Errc::wrong_format, "Image is not in qcow2 format");
    }
    const u32 version = load_be<u32>(start, 4);
    if (version < 2 || version > 3) {
        return fail(Errc::unsupported, fmt::format("Unsupported qcow2 version {}", version));
    }
    const u32 cluster_bits = load_be<u32>(start, 20);
    if (cluster_bits < kMinClusterBits || cluster_bits > kMaxClusterBits) {
        return fail(Errc::corrupt, fmt::format("Unsupported cluster size: 2^{}", cluster_bits));
    }
    if (version >= 3 &&
        (start.size() < kHeaderV3Size || load_be<u32>(start, 100) < kHeaderV3Size)) {
        return fail(Errc::corrupt, "qcow2 header too short");
    }
    if (version >= 3 && load_be<u32>(start, 100) > u64{1} << cluster_bits) {
        return fail(Errc::corrupt, "qcow2 header exceeds cluster size");
    }
    return base::ok();
}

base::Status parse_extensions(Header& h, std::span<const u8> start, u64 end)
{
    u64 at = h.header_length;
    while (at + 8 <= end) {
        const u32 type = load_be<u32>(start, at);
        const u32 length = load_be<u32>(start, at + 4);
        at += 8;
        if (type == extension::end) {
            h.end = at;
            return base::ok();
        }
        if (length > end - at) {
            return fail(Errc::corrupt, "Header extension too large");
        }
        const auto data = start.subspan(at, length);
        if (type == extension::backing_format) {
            if (length >= 16) {
                return fail(Errc::corrupt, fmt::format("ERROR: ext_backing_format: len={} too "
                                                       "large (>=16)",
                                                       length));
            }
            h.backing_format = text_of(data);
        } else if (type != extension::gap) {
            h.extensions.push_back({type, {data.begin(), data.end()}});
        }
        at += (u64{length} + 7) & ~u64{7};
    }
    h.end = at;
    return base::ok();
}

/// Names of incompatible features, from the image's own table; the rest as one number.
std::string feature_names_of(const Header& h, u64 features)
{
    std::string names;
    const auto add = [&names](const std::string& name) {
        names += (names.empty() ? "" : ", ") + name;
    };
    for (const Extension& e : h.extensions) {
        if (e.type != extension::feature_names) {
            continue;
        }
        for (std::size_t at = 0; at + 2 < e.data.size(); at += kFeatureNameSize) {
            const std::size_t length = std::min(kFeatureNameSize, e.data.size() - at) - 2;
            if (e.data[at] == 0 && e.data[at + 1] < 64 && (features >> e.data[at + 1] & 1) != 0) {
                add(text_of(std::span{e.data}.subspan(at + 2, length)));
                features &= ~(u64{1} << e.data[at + 1]);
            }
        }
    }
    if (features != 0) {
        add(fmt::format("Unknown incompatible feature: {:x}", features));
    }
    return names;
}

/// qcow2.txt, "Full disk encryption header pointer".
base::Status check_luks_place(const Header& h)
{
    const auto is_pointer = [](const Extension& e) { return e.type == extension::encryption; };
    const auto found = std::ranges::find_if(h.extensions, is_pointer);
    if (h.encryption != encryption_method::luks) {
        return found == h.extensions.end()
                   ? base::ok()
                   : fail(Errc::corrupt,
                          "CRYPTO header extension only expected with LUKS encryption method");
    }
    if (found == h.extensions.end()) {
        return fail(Errc::corrupt, "Image is encrypted with LUKS but has no LUKS header");
    }
    if (found->data.size() != 16) {
        return fail(Errc::corrupt,
                    fmt::format("CRYPTO header extension size {}, but expected size 16",
                                found->data.size()));
    }
    const Header::Place place = h.luks_place();
    const u64 cluster_size = h.geometry().cluster_size();
    if (place.at % cluster_size != 0) {
        return fail(Errc::corrupt,
                    fmt::format("Encryption header offset '{}' is not a multiple of cluster size "
                                "'{}'",
                                place.at, cluster_size));
    }
    if (place.at == 0 || place.at > entry::offset_mask || place.length > kMaxLuksHeader) {
        return fail(Errc::corrupt, "Encryption header offset or size is invalid");
    }
    return base::ok();
}

base::Status check_features(const Header& h)
{
    if (const u64 unknown = h.incompatible_features & ~kKnownIncompatible; unknown != 0) {
        return fail(Errc::unsupported,
                    fmt::format("Unsupported qcow2 feature(s): {}", feature_names_of(h, unknown)));
    }
    if (h.geometry().extended_l2 && h.cluster_bits < kMinExtendedClusterBits) {
        return fail(Errc::corrupt,
                    fmt::format("Unsupported subcluster size: {}", h.geometry().subcluster_size()));
    }
    if (h.encryption > 2) {
        return fail(Errc::unsupported,
                    fmt::format("Unsupported encryption method {}", h.encryption));
    }
    if (auto good = check_luks_place(h); !good) {
        return good;
    }
    const bool has_codec = (h.incompatible_features & incompatible::compression_type) != 0;
    if (has_codec != (h.compression_type != 0)) {
        return fail(Errc::corrupt, "qcow2: Compression type incompatible feature bit must "
                                   "agree with the compression type");
    }
    if (h.compression_type > 1) {
        return fail(Errc::unsupported,
                    fmt::format("qcow2: unknown compression type: {}", h.compression_type));
    }
    return base::ok();
}

/// Sizes and places of the tables: everything later code takes memory for.
base::Status check_tables(const Header& h)
{
    const Geometry g = h.geometry();
    if (h.size > static_cast<u64>(INT64_MAX) - g.cluster_size()) {
        return fail(Errc::corrupt, "Image is too big");
    }
    if (u64{h.reftable_clusters} << g.cluster_bits > kMaxReftableBytes) {
        return fail(Errc::corrupt, "Image does not contain a reasonable reference count table: "
                                   "Reference count table too large");
    }
    if ((h.reftable_offset & g.within()) != 0 || h.reftable_offset > entry::offset_mask) {
        return fail(Errc::corrupt, "Reference count table offset invalid");
    }
    if (u64{h.l1_size} * sizeof(u64) > kMaxL1Bytes) {
        return fail(Errc::corrupt, "Active L1 table too large");
    }
    if ((h.l1_offset & g.within()) != 0 || h.l1_offset > entry::offset_mask) {
        return fail(Errc::corrupt, "Active L1 table offset invalid");
    }
    if (g.l1_entries(h.size) > static_cast<u64>(INT32_MAX)) {
        return fail(Errc::corrupt, "Image is too big");
    }
    if (h.l1_size < g.l1_entries(h.size)) {
        return fail(Errc::corrupt, "L1 table is too small");
    }
    if ((h.snapshots_offset & g.within()) != 0 || h.snapshots_offset > entry::offset_mask) {
        return fail(Errc::corrupt, "Snapshot table offset invalid");
    }
    return base::ok();
}

base::Status parse_backing_name(Header& h, std::span<const u8> start)
{
    if (h.backing_offset == 0) {
        return base::ok();
    }
    const u32 length = load_be<u32>(start, 16);
    const u64 cluster = h.geometry().cluster_size();
    if (h.backing_offset > cluster) {
        return fail(Errc::corrupt, "Invalid backing file offset");
    }
    if (length > std::min<u64>(kMaxBackingName, cluster - h.backing_offset)) {
        return fail(Errc::corrupt, "Backing file name too long");
    }
    if (h.backing_offset + length > start.size()) {
        return fail(Errc::corrupt, "Could not read backing file name");
    }
    h.backing_name = text_of(start.subspan(h.backing_offset, length));
    h.end = std::max(h.end, h.backing_offset + length);
    return base::ok();
}

void append_extension(std::vector<u8>& out, u32 type, std::span<const u8> data)
{
    const std::size_t at = out.size();
    out.resize(at + 8 + ((data.size() + 7) & ~std::size_t{7}));
    store_be<u32>(out, at, type);
    store_be<u32>(out, at + 4, static_cast<u32>(data.size()));
    std::ranges::copy(data, out.begin() + static_cast<std::ptrdiff_t>(at + 8));
}

/// The order in which QEMU writes extensions: those it does not know come last.
int extension_rank(u32 type)
{
    switch (type) {
    case extension::data_file_name:
        return 0;
    case extension::encryption:
        return 1;
    case extension::feature_names:
        return 2;
    case extension::bitmaps:
        return 3;
    default:
        return 4;
    }
}

std::vector<u8> feature_name_table()
{
    std::vector<u8> table(kFeatureNames.size() * kFeatureNameSize);
    for (std::size_t i = 0; i < kFeatureNames.size(); ++i) {
        u8* row = table.data() + i * kFeatureNameSize;
        row[0] = kFeatureNames[i].kind;
        row[1] = kFeatureNames[i].bit;
        std::memcpy(row + 2, kFeatureNames[i].name, std::strlen(kFeatureNames[i].name));
    }
    return table;
}

void store_fields(std::vector<u8>& b, const Header& h)
{
    store_be<u32>(b, 0, kMagic);
    store_be<u32>(b, 4, h.version);
    store_be<u64>(b, 8, h.backing_offset);
    store_be<u32>(b, 16, static_cast<u32>(h.backing_name.size()));
    store_be<u32>(b, 20, h.cluster_bits);
    store_be<u64>(b, 24, h.size);
    store_be<u32>(b, 32, h.encryption);
    store_be<u32>(b, 36, h.l1_size);
    store_be<u64>(b, 40, h.l1_offset);
    store_be<u64>(b, 48, h.reftable_offset);
    store_be<u32>(b, 56, h.reftable_clusters);
    store_be<u32>(b, 60, h.snapshot_count);
    store_be<u64>(b, 64, h.snapshots_offset);
    if (h.version >= 3) {
        store_be<u64>(b, 72, h.incompatible_features);
        store_be<u64>(b, 80, h.compatible_features);
        store_be<u64>(b, 88, h.autoclear_features);
        store_be<u32>(b, 96, h.refcount_order);
        store_be<u32>(b, 100, h.header_length);
        b[104] = h.compression_type;
    }
}

u32 fields_length(const Header& h)
{
    return h.version >= 3 ? kHeaderWithCodec : kHeaderV2Size;
}

enum class FeatureNames { with, without };

/// Appends what follows the fields: the extensions and the backing file's name, whose place it
/// notes. Whatever names of features were there, ours are newer.
void append_rest(std::vector<u8>& out, Header& h, FeatureNames names)
{
    if (!h.backing_format.empty()) {
        const auto* text = reinterpret_cast<const u8*>(h.backing_format.data());
        append_extension(out, extension::backing_format, {text, h.backing_format.size()});
    }
    std::erase_if(h.extensions,
                  [](const Extension& e) { return e.type == extension::feature_names; });
    std::vector<Extension> all = h.extensions;
    if (names == FeatureNames::with) {
        all.push_back({extension::feature_names, feature_name_table()});
    }
    std::ranges::stable_sort(all, {}, [](const Extension& e) { return extension_rank(e.type); });
    for (const Extension& e : all) {
        append_extension(out, e.type, e.data);
    }
    append_extension(out, extension::end, {});
    h.backing_offset = 0;
    if (!h.backing_name.empty()) {
        h.backing_offset = out.size();
        out.insert(out.end(), h.backing_name.begin(), h.backing_name.end());
    }
}

} // namespace

std::string Header::data_file_name() const
{
    for (const Extension& e : extensions) {
        if (e.type == extension::data_file_name) {
            return text_of(e.data);
        }
    }
    return {};
}

Header::Place Header::luks_place() const
{
    for (const Extension& e : extensions) {
        if (e.type == extension::encryption && e.data.size() == 16 &&
            encryption == encryption_method::luks) {
            return {load_be<u64>(e.data, 0), load_be<u64>(e.data, 8)};
        }
    }
    return {};
}

bool has_magic(std::span<const u8> start)
{
    return start.size() >= 8 && load_be<u32>(start, 0) == kMagic && load_be<u32>(start, 4) >= 2;
}

Result<u64> header_bytes_needed(std::span<const u8> start)
{
    if (auto good = check_start(start); !good) {
        return std::move(good).error();
    }
    return u64{1} << load_be<u32>(start, 20);
}

Result<Header> parse_header(std::span<const u8> start)
{
    if (auto good = check_start(start); !good) {
        return std::move(good).error();
    }
    Header h = parse_fields(start);
    if (h.refcount_order > 6) {
        return fail(Errc::corrupt, "Reference count entry width too large; may not exceed 64 bits");
    }
    if (h.header_length > start.size()) {
        return fail(Errc::corrupt, "Could not read the whole qcow2 header");
    }
    if (h.header_length > kHeaderV3Size) {
        h.compression_type = start[kHeaderV3Size];
    }
    if (h.backing_offset > h.geometry().cluster_size()) {
        return fail(Errc::corrupt, "Invalid backing file offset");
    }
    const u64 end = h.backing_offset != 0 ? h.backing_offset : h.geometry().cluster_size();
    if (auto good = parse_extensions(h, start, std::min<u64>(end, start.size())); !good) {
        return std::move(good).error();
    }
    for (const auto check : {check_features, check_tables}) {
        if (auto good = check(h); !good) {
            return std::move(good).error();
        }
    }
    if (auto good = parse_backing_name(h, start); !good) {
        return std::move(good).error();
    }
    return h;
}

Result<std::vector<u8>> encode_header(Header& h)
{
    h.header_length = fields_length(h);
    std::vector<u8> out(h.header_length);
    append_rest(out, h, h.version >= 3 ? FeatureNames::with : FeatureNames::without);
    if (out.size() > h.geometry().cluster_size()) { // names of features only go where there is room
        out.resize(h.header_length);
        append_rest(out, h, FeatureNames::without);
    }
    if (out.size() > h.geometry().cluster_size()) {
        return fail(Errc::invalid_argument,
                    "the header with the backing file's name does not fit into a cluster");
    }
    store_fields(out, h);
    h.end = out.size();
    return out;
}

Result<InterimHeader> encode_interim_header(Header h, u64 free_from)
{
    h.header_length = fields_length(h);
    InterimHeader interim{.start = std::vector<u8>(h.header_length)};
    append_rest(interim.start, h, FeatureNames::without);
    if (interim.start.size() > kHeaderSector) {
        constexpr u64 kExtensionHead = 8; // bytes
        interim.rest_at = (free_from + kHeaderSector - 1) / kHeaderSector * kHeaderSector;
        interim.rest.assign(interim.start.begin() + h.header_length, interim.start.end());
        if (interim.rest_at + interim.rest.size() > h.geometry().cluster_size()) {
            return fail(Errc::invalid_argument, "two headers do not fit into a cluster");
        }
        const u64 moved = interim.rest_at - h.header_length;
        h.backing_offset += h.backing_offset != 0 ? moved : 0;
        interim.start.resize(h.header_length + kExtensionHead);
        store_be<u32>(interim.start, h.header_length, extension::gap);
        store_be<u32>(interim.start, h.header_length + 4, static_cast<u32>(moved - kExtensionHead));
    }
    store_fields(interim.start, h);
    return interim;
}

PackedRange packed_range(const Geometry& g, u64 l2_entry)
{
    const u32 sectors_shift = 62 - (g.cluster_bits - 8);
    const u64 at = l2_entry & ((u64{1} << sectors_shift) - 1);
    const u64 more = (l2_entry & ~(entry::copied | entry::compressed)) >> sectors_shift;
    return {at, (more + 1) * 512 - (at & 511)};
}

u64 packed_entry(const Geometry& g, PackedRange range)
{
    const u32 sectors_shift = 62 - (g.cluster_bits - 8);
    const u64 more = ((range.at + range.length - 1) >> 9) - (range.at >> 9);
    return range.at | more << sectors_shift | entry::compressed;
}

} // namespace img::qcow2
