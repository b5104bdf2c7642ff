// What is about to be done with an image's file, for faults made on purpose (source/fault.hpp).
#pragma once

#include "base/types.hpp"

namespace img {

/// Named as the events of QEMU's driver "blkdebug" (its documentation: docs/devel/blkdebug). Those
/// of formats are told by qcow2 only.
enum class DebugEvent : base::u8 {
    opened,          // once, before anything else: "none"
    read_data,       // of the guest: "read_aio"
    read_compressed, // likewise
    write_data,      // "write_aio"
    write_compressed,
    cow_read,  // what is around the guest's data in a new block
    cow_write, // likewise
    flush_to_os,
    flush_to_disk,
    l1_update,
    l1_grow_write_table,
    l1_grow_activate_table,
    l2_load,
    l2_update,
    l2_alloc_write,
    reftable_load,
    reftable_grow,
    reftable_update,
    refblock_load,
    refblock_update_part,
    refblock_alloc,
    cluster_alloc,
    cluster_free,
    empty_image_prepare // nothing is found any more, and the counts are still there
};

} // namespace img
