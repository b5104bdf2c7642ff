// Status bits of the 82077AA (DS section 5.1 and table 2).
#pragma once

#include "base/types.hpp"

namespace emu::devices::fdc {

using base::u64;
using base::u8;

namespace msr {                     // main status register
inline constexpr u8 request = 0x80; // RQM
inline constexpr u8 to_cpu = 0x40;  // DIO
inline constexpr u8 non_dma = 0x20;
inline constexpr u8 busy = 0x10;
} // namespace msr

namespace st0 {
inline constexpr u8 abnormal = 0x40;
inline constexpr u8 invalid = 0x80;
inline constexpr u8 ready_changed = 0xc0;
inline constexpr u8 seek_end = 0x20;
inline constexpr u8 equipment_check = 0x10;
} // namespace st0

namespace st1 {
inline constexpr u8 end_of_cylinder = 0x80;
inline constexpr u8 data_error = 0x20;
inline constexpr u8 overrun = 0x10;
inline constexpr u8 no_data = 0x04;
inline constexpr u8 not_writable = 0x02;
inline constexpr u8 missing_mark = 0x01;
} // namespace st1

namespace st2 {
inline constexpr u8 control_mark = 0x40;
inline constexpr u8 data_error = 0x20;
inline constexpr u8 wrong_cylinder = 0x10;
} // namespace st2

inline constexpr u64 kResetNs = 100'000;
inline constexpr u64 kStepNs = 50'000;
inline constexpr u64 kSectorNs = 200'000;

} // namespace emu::devices::fdc
