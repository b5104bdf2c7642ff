#include "imgtool/formats/all.hpp"

#include "imgtool/formats/bochs/bochs.hpp"
#include "imgtool/formats/cloop/cloop.hpp"
#include "imgtool/formats/dmg/dmg.hpp"
#include "imgtool/formats/luks/luks.hpp"
#include "imgtool/formats/parallels/parallels.hpp"
#include "imgtool/formats/qcow/qcow.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/formats/qed/qed.hpp"
#include "imgtool/formats/raw/raw.hpp"
#include "imgtool/formats/vdi/vdi.hpp"
#include "imgtool/formats/vhdx/vhdx.hpp"
#include "imgtool/formats/vmdk/vmdk.hpp"
#include "imgtool/formats/vpc/vpc.hpp"

#include <array>

namespace img {

namespace {

constexpr std::array kFormats{
    &qcow2::kDriver, &qcow::kDriver, &qed::kDriver,       &vmdk::kDriver, &vdi::kDriver,
    &vpc::kDriver,   &vhdx::kDriver, &parallels::kDriver, &luks::kDriver, &bochs::kDriver,
    &cloop::kDriver, &dmg::kDriver,  &raw::kDriver,
};

} // namespace

std::span<const FormatDriver* const> all_formats()
{
    return kFormats;
}

const FormatDriver* find_format(std::string_view name)
{
    for (const FormatDriver* format : kFormats) {
        if (format->name == name) {
            return format;
        }
    }
    return nullptr;
}

const FormatDriver& probe_format(std::span<const u8> start, std::string_view name)
{
    for (const FormatDriver* format : kFormats) {
        if (format->probe(start, name) == Probe::certain) {
            return *format;
        }
    }
    for (const FormatDriver* format : kFormats) {
        if (format->probe(start, name) == Probe::possible) {
            return *format; // raw is the last of them
        }
    }
    return raw::kDriver;
}

} // namespace img
