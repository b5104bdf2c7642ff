// Everything that is done to a qcow2 image, done to any bytes at all.
#include "base/endian.hpp"
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <cstdint>

namespace {

using namespace img;

/// Thousands of them take their time, and show nothing that a few do not.
void thin_out_snapshots(std::span<u8> bytes)
{
    constexpr std::size_t kFieldSnapshots = 60;
    constexpr u32 kEnough = 15;
    constexpr u32 kMost = 65536; // more are refused
    if (bytes.size() < kFieldSnapshots + sizeof(u32)) {
        return;
    }
    const u32 count = base::load_be<u32>(bytes, kFieldSnapshots);
    if (count > kEnough && count <= kMost) {
        base::store_be<u32>(bytes, kFieldSnapshots, count % kEnough);
    }
}

/// Snapshots move whole trees of tables about; so does giving up all data.
void use_as_a_whole(std::span<const u8> bytes)
{
    OpenContext context;
    auto image = qcow2::kDriver.open(
        std::make_unique<test::SparseMemory>(bytes, test::kFuzzFileLimit), context);
    if (!image) {
        return;
    }
    Image& i = *image.value();
    const auto snapshots = i.info().snapshots;
    (void)i.create_snapshot("fuzz", {});
    if (!snapshots.empty()) {
        (void)i.apply_snapshot(snapshots.front().id);
        (void)i.delete_snapshot(snapshots.back().id);
    }
    (void)i.set_backing("base", "raw");
    (void)i.make_empty();
    (void)i.flush();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::vector<u8> bytes{data, data + size};
    thin_out_snapshots(bytes);
    // Images may have a data file: one of the same bytes, so that it is found to be what it is not.
    OpenContext context{.trust_data_files = true};
    context.open_sibling = [&](const std::string&) -> Result<std::unique_ptr<ByteSource>> {
        return std::unique_ptr<ByteSource>{
            std::make_unique<test::SparseMemory>(bytes, test::kFuzzFileLimit)};
    };
    test::fuzz_image(qcow2::kDriver, bytes, context);
    use_as_a_whole(bytes);
    return 0;
}
