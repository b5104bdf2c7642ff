#include "imgtool/formats/all.hpp"

#include "imgtool/formats/qcow/qcow.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/formats/raw/raw.hpp"
#include "imgtool/formats/vpc/vpc.hpp"

#include <array>

namespace img {

namespace {

constexpr std::array kFormats{
    &qcow2::kDriver,
    &vpc::kDriver,
    &qcow::kDriver,
    &raw::kDriver,
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
    return raw::kDriver;
}

} // namespace img
