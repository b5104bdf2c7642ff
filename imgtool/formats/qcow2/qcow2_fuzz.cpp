// Everything that is done to a qcow2 image, done to any bytes at all.
#include "imgtool/chain/chain.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/source/memory_source.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

using namespace img;

constexpr u64 kFileLimit = u64{8} << 20; // bytes the file may grow to
constexpr u64 kReadLimit = u64{256} << 10;

std::unique_ptr<Image> open_image(std::vector<u8> bytes, OpenFor purpose)
{
    auto image = open_alone(qcow2::kDriver,
                            std::make_unique<MemorySource>(std::move(bytes), kFileLimit), purpose);
    return image ? std::move(image).value() : nullptr;
}

void use(std::unique_ptr<Image> image)
{
    (void)image->info();
    std::vector<Layer> layers;
    layers.push_back({.image = std::move(image), .path = "fuzz", .format = "qcow2"});
    ChainDisk disk{std::move(layers), false};
    u64 offset = 0;
    for (int i = 0; i < 256 && offset < disk.size(); ++i) {
        auto found = disk.find(offset, disk.size() - offset, MapDetail::exact);
        if (!found) {
            break;
        }
        offset += found.value().extent.length;
    }
    std::vector<u8> bytes(std::min(disk.size(), kReadLimit));
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

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::vector<u8> bytes{data, data + size};
    if (auto image = open_image(bytes, OpenFor::use)) {
        use(std::move(image));
    }
    const auto ignore = [](const std::string&) {};
    for (const Repair repair : {Repair::none, Repair::leaks, Repair::all}) {
        if (auto image = open_image(bytes, OpenFor::check)) {
            (void)image->check(repair, ignore);
        }
    }
    return 0;
}
