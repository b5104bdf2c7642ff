// Pictures in files: PNG and PPM out, PNG in, and finding one picture in another.
#pragma once

#include "base/result.hpp"
#include "emulator/devices/display/display_source.hpp"

#include <optional>
#include <span>
#include <string>

namespace emu::hostio {

/// Byte for byte the same for the same frame: no times, fixed compression.
std::vector<u8> encode_png(const Frame& frame);
std::vector<u8> encode_ppm(const Frame& frame);
base::Status write_file(const std::string& path, std::span<const u8> bytes);

/// 0xAARRGGBB, row by row. Alpha 0 fits anything when searched for.
struct Picture {
    u32 width = 0;
    u32 height = 0;
    std::vector<u32> pixels;
};

/// Errors: `wrong_format`, `corrupt`, `unsupported` (more than 16 M pixels).
base::Result<Picture> decode_png(std::span<const u8> file);
base::Result<Picture> read_png(const std::string& path);

struct Place {
    u32 x = 0;
    u32 y = 0;
    friend bool operator==(const Place&, const Place&) = default;
};

/// Each of red, green and blue may differ by `tolerance`. False when it does not lie inside.
bool matches_at(const Frame& frame, const Picture& wanted, Place place, u32 tolerance);
/// The first match in reading order.
std::optional<Place> find_picture(const Frame& frame, const Picture& wanted, u32 tolerance);

} // namespace emu::hostio
