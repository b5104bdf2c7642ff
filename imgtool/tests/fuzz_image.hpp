// What fuzz targets of image formats do: everything that is done to images, to any bytes at all.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/format.hpp"
#include "imgtool/tests/sparse_memory.hpp"

#include <algorithm>
#include <vector>

namespace img::test {

inline constexpr u64 kFuzzFileLimit = u64{8} << 20; // bytes the file may grow to
inline constexpr u64 kFuzzReadLimit = u64{128} << 10;

/// Looks at an image, reads its ends, writes here and there.
inline void use_image(std::unique_ptr<Image> image)
{
    (void)image->info();
    std::vector<Layer> layers;
    layers.push_back({.image = std::move(image), .path = "fuzz", .format = "fuzz"});
    ChainDisk disk{std::move(layers), false};
    u64 offset = 0;
    for (int i = 0; i < 40 && offset < disk.size(); ++i) {
        auto found = disk.find(offset, disk.size() - offset, MapDetail::exact);
        if (!found) {
            break;
        }
        offset += found.value().extent.length;
    }
    std::vector<u8> bytes(std::min(disk.size(), kFuzzReadLimit));
    (void)disk.read(0, bytes);
    (void)disk.read(disk.size() - bytes.size(), bytes);
    std::fill(bytes.begin(), bytes.end(), u8{0xa5});
    const u64 n = std::min<u64>(bytes.size(), 3000);
    (void)disk.write(0, std::span{bytes}.first(n));
    (void)disk.write(disk.size() / 2, std::span{bytes}.first(n / 2));
    (void)disk.write_zeroes(0, std::min<u64>(disk.size(), 100'000));
    (void)disk.flush();
    (void)disk.write(disk.size() - n, std::span{bytes}.first(n));
}

/// How the file says it is opened.
enum class FuzzAccess { read_write, read_only };

/// Opens the bytes as each kind of user would. `context` has keys and options.
inline void fuzz_image(const FormatDriver& driver, std::span<const u8> bytes,
                       const OpenContext& context = {}, FuzzAccess access = FuzzAccess::read_write)
{
    const auto open = [&](OpenFor purpose) {
        OpenContext with = context;
        with.purpose = purpose;
        auto file = std::make_unique<SparseMemory>(bytes, kFuzzFileLimit);
        if (access == FuzzAccess::read_only) {
            file->set_read_only();
        }
        auto image = driver.open(std::move(file), with);
        return image ? std::move(image).value() : nullptr;
    };
    if (auto image = open(OpenFor::use)) {
        use_image(std::move(image));
    }
    const auto ignore = [](const std::string&) {};
    for (const Repair repair : {Repair::none, Repair::leaks, Repair::all}) {
        if (auto image = open(OpenFor::check)) {
            (void)image->check(repair, ignore);
        }
    }
}

} // namespace img::test
