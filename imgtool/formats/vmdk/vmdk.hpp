// VMware's disk format: one file or several, flat, sparse or compressed.
#pragma once

#include "imgtool/format.hpp"

namespace img::vmdk {

extern const FormatDriver kDriver;

/// What a new image is made with.
struct CreateParameters {
    u64 size = 0; // bytes; rounded up to sectors
    enum class Subformat : u8 {
        monolithic_sparse,
        monolithic_flat,
        two_gb_sparse,
        two_gb_flat,
        stream_optimized
    } subformat = Subformat::monolithic_sparse;
    std::string adapter = "ide";
    std::string hardware = "4";
    std::string tools = "2147483647";
    std::string backing_name = {};
    bool zeroed_grain = false;

    bool flat() const
    {
        return subformat == Subformat::monolithic_flat || subformat == Subformat::two_gb_flat;
    }
};

/// Error: `invalid_argument` for parameters that make no sense together.
Status check_parameters(const CreateParameters& parameters);
/// Makes an image in an empty file, and its extents through `context`.
Status create(ByteSource& file, const CreateParameters& parameters, CreateContext& context);

} // namespace img::vmdk
