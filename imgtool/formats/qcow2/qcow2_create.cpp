// New qcow2 images.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/l2_entry.hpp"
#include "imgtool/formats/qcow2/layout.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/formats/qcow2/refcounts.hpp"

#include <fmt/format.h>

#include <bit>

namespace img::qcow2 {

namespace {

using base::Errc;
using base::fail;
using base::store_be;
using Preallocation = CreateParameters::Preallocation;

/// Where the tables of a new image lie, each beginning on a cluster.
struct Plan {
    u64 reftable_clusters, refblocks, l1_clusters, luks_clusters, l2_tables, data_clusters;

    u64 total() const
    {
        return 1 + reftable_clusters + refblocks + l1_clusters + luks_clusters + l2_tables +
               data_clusters;
    }
};

/// Finds the numbers of refcount blocks and table clusters, which count themselves.
Plan make_plan(const CreateParameters& p, const Geometry& g, u64 l1_entries, u64 luks_bytes)
{
    const bool preallocate = p.preallocation != Preallocation::off;
    const bool data_here = preallocate && p.data_file.empty();
    Plan plan{.reftable_clusters = 1,
              .refblocks = 1,
              .l1_clusters = std::max<u64>(1, g.clusters(l1_entries * sizeof(u64))),
              .luks_clusters = g.clusters(luks_bytes),
              .l2_tables = preallocate ? l1_entries : 0,
              .data_clusters = data_here ? g.clusters(p.size) : 0};
    while (true) {
        const u64 blocks = (plan.total() + g.refblock_entries() - 1) / g.refblock_entries();
        const u64 table = g.clusters(blocks * sizeof(u64));
        if (blocks == plan.refblocks && table == plan.reftable_clusters) {
            return plan;
        }
        plan.refblocks = blocks;
        plan.reftable_clusters = table;
    }
}

Status write_refcounts(ByteSource& file, const Geometry& g, const Header& header, const Plan& plan)
{
    const u64 first_block = (1 + plan.reftable_clusters) << g.cluster_bits;
    std::vector<u8> table(plan.refblocks * sizeof(u64));
    std::vector<u8> block(g.cluster_size());
    for (u64 i = 0; i < plan.refblocks; ++i) {
        const u64 at = first_block + (i << g.cluster_bits);
        store_be<u64>(table, i * sizeof(u64), at);
        std::ranges::fill(block, u8{0});
        const u64 base = i * g.refblock_entries();
        const u64 used = std::min(g.refblock_entries(), plan.total() - base);
        for (u64 c = 0; c < used; ++c) {
            store_refcount(block, c, g.refcount_order, 1);
        }
        if (auto done = file.write(FileOffset{at}, block); !done) {
            return done;
        }
    }
    return file.write(FileOffset{header.reftable_offset}, table);
}

/// Tables that map the whole disk to clusters in order (preallocation). Extended entries leave all
/// subclusters unallocated, so that a backing file shows through.
Status write_maps(ByteSource& file, const Geometry& g, const Header& header, const Plan& plan)
{
    const L2Rules rules{header};
    const u64 first_l2 =
        header.l1_offset + ((plan.l1_clusters + plan.luks_clusters) << g.cluster_bits);
    const u64 first_data =
        header.has_data_file() ? 0 : first_l2 + (plan.l2_tables << g.cluster_bits);
    const u64 clusters = g.clusters(header.size);
    std::vector<u8> l1(plan.l2_tables * sizeof(u64));
    std::vector<u8> l2(g.cluster_size());
    for (u64 i = 0; i < plan.l2_tables; ++i) {
        const u64 at = first_l2 + (i << g.cluster_bits);
        store_be<u64>(l1, i * sizeof(u64), at | entry::copied);
        std::ranges::fill(l2, u8{0});
        const u64 base = i * g.l2_entries();
        for (u64 c = 0; c < g.l2_entries() && base + c < clusters; ++c) {
            const u64 data = first_data + ((base + c) << g.cluster_bits);
            rules.store(l2, c, {data | entry::copied, 0});
        }
        if (auto done = file.write(FileOffset{at}, l2); !done) {
            return done;
        }
    }
    return file.write(FileOffset{header.l1_offset}, l1);
}

Status check_extended(const CreateParameters& p)
{
    if (p.extended_l2 && p.version < 3) {
        return fail(Errc::invalid_argument,
                    "Extended L2 entries are only supported with compatibility level 1.1 and above "
                    "(use version=v3 or greater)");
    }
    return base::ok();
}

Status check_data_file(const CreateParameters& p)
{
    if (p.data_file_is_raw && p.data_file.empty()) {
        return fail(Errc::invalid_argument, "data-file-raw requires data-file");
    }
    if (p.data_file_is_raw && p.encryption.method != encryption_method::none) {
        return fail(Errc::invalid_argument,
                    "Encryption and data-file-raw cannot be used at the same time");
    }
    if (p.data_file_is_raw && !p.backing_name.empty()) {
        return fail(Errc::invalid_argument,
                    "Backing file and data-file-raw cannot be used at the same time");
    }
    if (!p.data_file.empty() && p.version < 3) {
        return fail(Errc::invalid_argument,
                    "External data files are only supported with compatibility level 1.1 and above "
                    "(use version=v3 or greater)");
    }
    return base::ok();
}

Header header_of(const CreateParameters& p)
{
    Header header;
    header.version = p.version;
    header.size = p.size;
    header.encryption = p.encryption.method;
    header.cluster_bits = static_cast<u32>(std::countr_zero(p.cluster_size));
    header.refcount_order = static_cast<u32>(std::countr_zero(p.refcount_bits));
    header.compatible_features = p.lazy_refcounts ? compatible::lazy_refcounts : 0;
    header.compression_type = p.codec == Codec::zstd ? 1 : 0;
    header.incompatible_features = (p.codec == Codec::zstd ? incompatible::compression_type : 0) |
                                   (p.extended_l2 ? incompatible::extended_l2 : 0) |
                                   (p.data_file.empty() ? 0 : incompatible::data_file);
    header.autoclear_features = p.data_file_is_raw ? autoclear::raw_data_file : 0;
    header.backing_name = p.backing_name;
    header.backing_format = p.backing_format;
    if (!p.data_file.empty()) {
        header.extensions.push_back(
            {extension::data_file_name, {p.data_file.begin(), p.data_file.end()}});
    }
    return header;
}

/// The tables that a disk of this size needs. Error: there is no room for them in the format.
Result<Plan> plan_tables(const CreateParameters& p, const Geometry& g)
{
    const u64 l1_entries = g.l1_entries(p.size);
    const auto too_large = [] {
        return fail(Errc::invalid_argument,
                    "The image size is too large for file format 'qcow2' (try using a larger "
                    "cluster size)");
    };
    if (p.size > static_cast<u64>(INT64_MAX) - g.cluster_size() ||
        l1_entries * sizeof(u64) > kMaxL1Bytes) {
        return too_large();
    }
    auto luks_bytes = p.encryption.header_bytes();
    if (!luks_bytes) {
        return std::move(luks_bytes).error();
    }
    const Plan plan = make_plan(p, g, l1_entries, luks_bytes.value());
    if (plan.reftable_clusters << g.cluster_bits > kMaxReftableBytes) {
        return too_large();
    }
    return plan;
}

/// Notes in the header where that of LUKS will be: behind the L1 table.
Result<Header::Place> add_luks_place(Header& header, const CreateParameters& p, const Plan& plan)
{
    auto bytes = p.encryption.header_bytes();
    if (!bytes) {
        return std::move(bytes).error();
    }
    if (bytes.value() == 0) {
        return Header::Place{};
    }
    const Header::Place place{header.l1_offset + (plan.l1_clusters << header.cluster_bits),
                              bytes.value()};
    Extension pointer{extension::encryption, std::vector<u8>(16)};
    store_be<u64>(pointer.data, 0, place.at);
    store_be<u64>(pointer.data, 8, place.length);
    header.extensions.push_back(std::move(pointer));
    return place;
}

Preallocate storage_for(const CreateParameters& p)
{
    return p.preallocation == Preallocation::falloc ? Preallocate::reserve
           : p.preallocation == Preallocation::full ? Preallocate::write
                                                    : Preallocate::none;
}

/// Makes the data file, as long as the disk.
Status make_data_file(const CreateParameters& p, const OpenSibling& make_sibling)
{
    if (p.data_file.empty()) {
        return base::ok();
    }
    if (!make_sibling) {
        return fail(Errc::unsupported, "the data file cannot be made here");
    }
    auto data = make_sibling(p.data_file);
    if (!data) {
        return std::move(data).error();
    }
    // Tables that are made ahead lead to all of it.
    const auto make = p.preallocation == Preallocation::off ? make_raw : make_zero_raw;
    if (auto done = make(*data.value(), p.size, storage_for(p)); !done) {
        return done;
    }
    return data.value()->flush();
}

} // namespace

Status check_cluster_size(const CreateParameters& p)
{
    if (!std::has_single_bit(p.cluster_size) || p.cluster_size < u64{1} << kMinClusterBits ||
        p.cluster_size > u64{1} << kMaxClusterBits) {
        return fail(Errc::invalid_argument,
                    "Cluster size must be a power of two between 512 and 2048k");
    }
    if (p.extended_l2 && p.cluster_size < u64{1} << kMinExtendedClusterBits) {
        return fail(Errc::invalid_argument, "Extended L2 entries are only supported with cluster "
                                            "sizes of at least 16384 bytes");
    }
    return base::ok();
}

Status check_refcount_bits(const CreateParameters& p)
{
    if (!std::has_single_bit(p.refcount_bits) || p.refcount_bits > 64) {
        return fail(Errc::invalid_argument,
                    "Refcount width must be a power of two and may not exceed 64 bits");
    }
    return base::ok();
}

Status check_parameters(const CreateParameters& p)
{
    if (auto good = check_extended(p); !good) {
        return good;
    }
    if (auto good = check_cluster_size(p); !good) {
        return good;
    }
    if (auto good = check_refcount_bits(p); !good) {
        return good;
    }
    if (p.version < 3 && p.refcount_bits != 16) {
        return fail(Errc::invalid_argument,
                    "Different refcount widths than 16 bits require compatibility level 1.1 or "
                    "above (use version=v3 or greater)");
    }
    if (p.version < 3 && p.lazy_refcounts) {
        return fail(Errc::invalid_argument,
                    "Lazy refcounts only supported with compatibility level 1.1 and above (use "
                    "version=v3 or greater)");
    }
    if (p.version < 3 && p.codec != Codec::raw_deflate) {
        return fail(Errc::invalid_argument,
                    "Non-zlib compression type is only supported with compatibility level 1.1 "
                    "and above (use version=v3 or greater)");
    }
    if (auto good = check_data_file(p); !good) {
        return good;
    }
    if (p.preallocation != Preallocation::off && !p.backing_name.empty() && !p.extended_l2) {
        return fail(Errc::invalid_argument,
                    "Backing file and preallocation can only be used at the same time if "
                    "extended_l2 is enabled");
    }
    if (p.backing_name.size() > kMaxBackingName) {
        return fail(Errc::invalid_argument, "Backing file name too long");
    }
    return base::ok();
}

Status create(ByteSource& file, const CreateParameters& given, const OpenSibling& make_sibling,
              const Secrets* secrets)
{
    if (auto good = check_parameters(given); !good) {
        return good;
    }
    CreateParameters p = given;
    auto passphrase = new_passphrase(p.encryption, secrets);
    if (!passphrase) {
        return std::move(passphrase).error();
    }
    if (p.data_file_is_raw && p.preallocation == Preallocation::off) {
        // The tables must not say "unallocated" where a reader of the raw file sees data.
        p.preallocation = Preallocation::metadata;
    }
    Header header = header_of(p);
    const Geometry g = header.geometry();
    const u64 l1_entries = g.l1_entries(p.size);
    auto planned = plan_tables(p, g);
    if (!planned) {
        return std::move(planned).error();
    }
    const Plan& plan = planned.value();
    header.reftable_offset = g.cluster_size();
    header.reftable_clusters = static_cast<u32>(plan.reftable_clusters);
    header.l1_offset = (1 + plan.reftable_clusters + plan.refblocks) << g.cluster_bits;
    header.l1_size = static_cast<u32>(l1_entries);
    auto luks = add_luks_place(header, p, plan);
    if (!luks) {
        return std::move(luks).error();
    }

    auto start = encode_header(header);
    if (!start) {
        return std::move(start).error();
    }
    if (auto done = make_data_file(p, make_sibling); !done) {
        return done;
    }
    if (auto done = write_refcounts(file, g, header, plan); !done) {
        return done;
    }
    if (auto done = write_maps(file, g, header, plan); !done) {
        return done;
    }
    const u64 data_bytes = plan.data_clusters << g.cluster_bits;
    // An L1 table's cluster need not be there in full, but its entries must be readable.
    const u64 end = plan.l2_tables + plan.luks_clusters != 0
                        ? plan.total() << g.cluster_bits
                        : header.l1_offset + l1_entries * sizeof(u64);
    if (file.size() < end) {
        if (auto grown = file.resize(end); !grown) {
            return grown;
        }
    }
    if (auto done = preallocate(file, FileOffset{end - data_bytes}, data_bytes, storage_for(p));
        !done) {
        return std::move(done).error().in(
            "Could not resize image: Failed to resize underlying file");
    }
    if (luks.value().length != 0) {
        auto done = crypto::create_luks({file, luks.value().at, luks.value().length},
                                        p.encryption.luks, passphrase.value());
        if (!done) {
            return done;
        }
    }
    // The header comes last: until then the file is not an image.
    return file.write(FileOffset{0}, start.value());
}

} // namespace img::qcow2
