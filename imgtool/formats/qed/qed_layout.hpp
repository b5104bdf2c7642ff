// What is where in a QED image.
//
// Source: "QED Specification" (QEMU's documentation, docs/interop/qed_spec.txt), sections "Header"
// and "Tables". All numbers are little-endian.
#pragma once

#include "imgtool/source/byte_source.hpp"

#include <span>
#include <string>
#include <vector>

namespace img::qed {

inline constexpr u64 kHeaderBytes = 64; // without the backing file's name
inline constexpr u64 kMinCluster = u64{1} << 12;
inline constexpr u64 kMaxCluster = u64{1} << 26;
inline constexpr u64 kMaxTable = 16;         // clusters
inline constexpr u64 kMaxBackingName = 1023; // bytes; QEMU's limit
inline constexpr u64 kZeroCluster = 1;       // the entry of a cluster that reads as zero

namespace feature {
inline constexpr u64 backing_file = 1;
inline constexpr u64 need_check = 2;
inline constexpr u64 backing_is_raw = 4; // "QED_F_BACKING_FORMAT_NO_PROBE"
inline constexpr u64 known = 7;
} // namespace feature

struct Header {
    u64 cluster_size = 65536; // bytes
    u64 table_size = 4;       // clusters
    u64 header_size = 1;      // clusters
    u64 features = 0;
    u64 compat_features = 0;
    u64 autoclear_features = 0;
    u64 l1_offset = 0;
    u64 size = 0;       // bytes of the disk
    u64 backing_at = 0; // file offset of the name; 0: there is none
    std::string backing_name = {};

    u64 table_bytes() const { return table_size * cluster_size; }
    u64 table_entries() const { return table_bytes() / sizeof(u64); }
    /// Bytes of the disk that one L2 table maps.
    u64 l2_reach() const { return table_entries() * cluster_size; }
    u64 data_at() const { return header_size * cluster_size; }
    u64 clusters() const { return (size + cluster_size - 1) / cluster_size; }
};

bool has_signature(std::span<const u8> start);
bool is_cluster_size(u64 bytes);
bool is_table_size(u64 clusters);
/// The largest disk that tables of that shape can map, in bytes.
u64 max_size(u64 cluster_size, u64 table_size);

/// Reads the header and the name of the backing file, and checks them.
Result<Header> read_header(ByteSource& file);

/// The header with all its fields, and the name where it directly follows them.
std::vector<u8> encode_header(const Header& header);

/// Puts another name (empty: none) behind the header. Error: it does not fit.
Status set_backing_name(Header& header, const std::string& name, const std::string& format);

} // namespace img::qed
