#include "imgtool/cli/snapshot_list.hpp"

#include "imgtool/cli/text.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <ctime>

namespace img::cli {

void print_snapshot_list(const std::vector<SnapshotInfo>& snapshots)
{
    std::printf("Snapshot list:\n%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE",
                "VM CLOCK", "ICOUNT");
    for (const SnapshotInfo& s : snapshots) {
        char date[64] = "";
        const std::time_t seconds = s.date_s;
        std::tm local = {};
        if (localtime_r(&seconds, &local) != nullptr) {
            std::strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &local);
        }
        const u64 clock_s = s.vm_clock_ns / 1'000'000'000;
        const std::string clock =
            fmt::format("{:02}:{:02}:{:02}.{:03}", clock_s / 3600, clock_s / 60 % 60, clock_s % 60,
                        s.vm_clock_ns / 1'000'000 % 1000);
        std::printf("%-9s %-16s %8s%20s%13s%11s\n", s.id.c_str(), s.name.c_str(),
                    size_text(s.vm_state_size).c_str(), date, clock.c_str(),
                    s.icount ? std::to_string(*s.icount).c_str() : "");
    }
}

} // namespace img::cli
