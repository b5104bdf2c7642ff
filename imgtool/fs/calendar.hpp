// Dates as file systems have them.
#pragma once

#include "imgtool/fs/file_system.hpp"

#include <chrono>

namespace img::fs {

/// Nothing when there is no such date. Taken as UTC.
inline std::optional<UnixTime> unix_time(int year, unsigned month, unsigned day, unsigned hour,
                                         unsigned minute, unsigned second)
{
    using namespace std::chrono;
    const year_month_day date{std::chrono::year{year}, std::chrono::month{month},
                              std::chrono::day{day}};
    if (!date.ok() || hour > 23 || minute > 59 || second > 60) {
        return std::nullopt;
    }
    return UnixTime{sys_days{date}.time_since_epoch().count()} * 86400 + hour * 3600 + minute * 60 +
           second;
}

} // namespace img::fs
