#include "emulator/hostio/picture.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <png.h>

namespace emu::hostio {

namespace {

using base::Errc;

constexpr u32 kMaxPixels = 16u << 20;

std::vector<u8> to_rgb(const Frame& frame)
{
    std::vector<u8> rgb;
    rgb.reserve(frame.pixels.size() * 3);
    for (const u32 pixel : frame.pixels) {
        rgb.push_back(static_cast<u8>(pixel >> 16));
        rgb.push_back(static_cast<u8>(pixel >> 8));
        rgb.push_back(static_cast<u8>(pixel));
    }
    return rgb;
}

bool channel_fits(u32 a, u32 b, unsigned shift, int tolerance)
{
    const int difference =
        static_cast<int>((a >> shift) & 0xff) - static_cast<int>((b >> shift) & 0xff);
    return std::abs(difference) <= tolerance;
}

bool pixel_fits(u32 shown, u32 wanted, u32 tolerance)
{
    if ((wanted >> 24) == 0) {
        return true;
    }
    const int limit = static_cast<int>(tolerance);
    return channel_fits(shown, wanted, 16, limit) && channel_fits(shown, wanted, 8, limit) &&
           channel_fits(shown, wanted, 0, limit);
}

/// Where the picture has its rarest colour: it tells at once where on a plain screen the picture is
/// not.
Place telling_place(const Picture& wanted)
{
    std::map<u32, std::size_t> count;
    for (const u32 pixel : wanted.pixels) {
        ++count[pixel];
    }
    std::size_t best = 0;
    std::size_t rarest = wanted.pixels.size() + 1;
    for (std::size_t i = 0; i < wanted.pixels.size(); ++i) {
        const u32 pixel = wanted.pixels[i];
        const bool opaque = (pixel >> 24) != 0;
        if (opaque && count[pixel] < rarest) {
            best = i;
            rarest = count[pixel];
        }
    }
    return {static_cast<u32>(best % wanted.width), static_cast<u32>(best / wanted.width)};
}

void append_to_vector(png_structp png, png_bytep data, png_size_t length)
{
    auto& out = *static_cast<std::vector<u8>*>(png_get_io_ptr(png));
    out.insert(out.end(), data, data + length);
}

void no_flush(png_structp) {}

} // namespace

std::vector<u8> encode_png(const Frame& frame)
{
    std::vector<u8> out;
    if (frame.width == 0 || frame.height == 0) {
        return encode_png(Frame{1, 1, {0}}); // PNG has no empty pictures
    }
    const std::vector<u8> rgb = to_rgb(frame);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
    if (info == nullptr || setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_write_struct(&png, &info);
        return {};
    }
    png_set_write_fn(png, &out, append_to_vector, no_flush);
    png_set_compression_level(png, 4);
    png_set_filter(png, 0, PNG_FILTER_NONE | PNG_FILTER_SUB);
    png_set_IHDR(png, info, frame.width, frame.height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (u32 y = 0; y < frame.height; ++y) {
        png_write_row(png, rgb.data() + std::size_t{y} * frame.width * 3);
    }
    png_write_end(png, nullptr);
    png_destroy_write_struct(&png, &info);
    return out;
}

std::vector<u8> encode_ppm(const Frame& frame)
{
    const std::string header =
        "P6\n" + std::to_string(frame.width) + " " + std::to_string(frame.height) + "\n255\n";
    std::vector<u8> out(header.begin(), header.end());
    const std::vector<u8> rgb = to_rgb(frame);
    out.insert(out.end(), rgb.begin(), rgb.end());
    return out;
}

base::Status write_file(const std::string& path, std::span<const u8> bytes)
{
    std::ofstream file{path, std::ios::binary | std::ios::trunc};
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) {
        return base::fail(Errc::io, "cannot write " + path);
    }
    return base::ok();
}

base::Result<Picture> decode_png(std::span<const u8> file)
{
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    if (png_image_begin_read_from_memory(&image, file.data(), file.size()) == 0) {
        return base::fail(Errc::wrong_format, std::string{"not a PNG: "} + image.message);
    }
    if (image.width == 0 || image.height == 0 || image.width > kMaxPixels / image.height) {
        png_image_free(&image);
        return base::fail(Errc::unsupported, "the picture has more than 16 M pixels");
    }
    image.format = PNG_FORMAT_BGRA; // in memory order: 0xAARRGGBB as a little-endian word
    Picture picture{image.width, image.height, {}};
    std::vector<u8> bytes(PNG_IMAGE_SIZE(image));
    if (png_image_finish_read(&image, nullptr, bytes.data(), 0, nullptr) == 0) {
        return base::fail(Errc::corrupt, std::string{"damaged PNG: "} + image.message);
    }
    picture.pixels.reserve(bytes.size() / 4);
    for (std::size_t i = 0; i < bytes.size(); i += 4) {
        picture.pixels.push_back(bytes[i] | u32{bytes[i + 1]} << 8 | u32{bytes[i + 2]} << 16 |
                                 u32{bytes[i + 3]} << 24);
    }
    return picture;
}

base::Result<Picture> read_png(const std::string& path)
{
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        return base::fail(Errc::io, "cannot open " + path);
    }
    const std::vector<u8> bytes{std::istreambuf_iterator<char>{file}, {}};
    auto picture = decode_png(bytes);
    if (!picture) {
        return std::move(picture).error().in(path);
    }
    return picture;
}

bool matches_at(const Frame& frame, const Picture& wanted, Place place, u32 tolerance)
{
    if (wanted.width > frame.width || wanted.height > frame.height ||
        place.x > frame.width - wanted.width || place.y > frame.height - wanted.height) {
        return false;
    }
    for (u32 y = 0; y < wanted.height; ++y) {
        const u32* shown = &frame.pixels[std::size_t{place.y + y} * frame.width + place.x];
        const u32* row = &wanted.pixels[std::size_t{y} * wanted.width];
        for (u32 x = 0; x < wanted.width; ++x) {
            if (!pixel_fits(shown[x], row[x], tolerance)) {
                return false;
            }
        }
    }
    return true;
}

std::optional<Place> find_picture(const Frame& frame, const Picture& wanted, u32 tolerance)
{
    if (wanted.width > frame.width || wanted.height > frame.height) {
        return std::nullopt;
    }
    const Place probe = telling_place(wanted);
    const u32 telling = wanted.pixels[std::size_t{probe.y} * wanted.width + probe.x];
    for (u32 y = 0; y <= frame.height - wanted.height; ++y) {
        const u32* shown = &frame.pixels[std::size_t{y + probe.y} * frame.width + probe.x];
        for (u32 x = 0; x <= frame.width - wanted.width; ++x) {
            if (pixel_fits(shown[x], telling, tolerance) &&
                matches_at(frame, wanted, {x, y}, tolerance)) {
                return Place{x, y};
            }
        }
    }
    return std::nullopt;
}

} // namespace emu::hostio
