#include "emulator/cpu/x86/ops.hpp"

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace emu::x86 {

namespace {

std::vector<HelperInfo> join()
{
    std::vector<HelperInfo> all;
    for (const auto part : {arith_helpers(), string_helpers(), fpu_helpers(), fpu_memory_helpers(),
                            mmx_helpers(), system_helpers()}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

} // namespace

std::span<const HelperInfo> helper_table()
{
    static const std::vector<HelperInfo> kTable = join();
    return kTable;
}

u32 helper_index(std::string_view name)
{
    const auto table = helper_table();
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (table[i].name == name) {
            return static_cast<u32>(i);
        }
    }
    std::fprintf(stderr, "no helper is called '%.*s'\n", static_cast<int>(name.size()),
                 name.data());
    std::abort(); // a mistake in the program, never the guest's
}

} // namespace emu::x86
