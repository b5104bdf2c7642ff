// What of a disk would have to be stored.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/format.hpp"

namespace img {

/// For FormatDriver::measure; `disk` must outlive it.
Content content_of(ChainDisk& disk);

/// How many clusters of that size have data of the disk in them, in bytes.
Result<u64> data_in_clusters(ChainDisk& disk, u64 cluster_size);

} // namespace img
