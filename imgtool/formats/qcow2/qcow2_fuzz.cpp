// Everything that is done to a qcow2 image, done to any bytes at all.
#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/tests/fuzz_image.hpp"

#include <cstdint>

namespace {

using namespace img;

/// Snapshots move whole trees of tables about; so does giving up all data.
void use_as_a_whole(std::span<const u8> bytes)
{
    OpenContext context;
    auto image =
        qcow2::kDriver.open(std::make_unique<MemorySource>(
                                std::vector<u8>{bytes.begin(), bytes.end()}, test::kFuzzFileLimit),
                            context);
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
    // Images may have a data file: one of the same bytes, so that it is found to be what it is not.
    OpenContext context{.trust_data_files = true};
    context.open_sibling = [=](const std::string&) -> Result<std::unique_ptr<ByteSource>> {
        return std::unique_ptr<ByteSource>{std::make_unique<MemorySource>(
            std::vector<u8>{data, data + size}, test::kFuzzFileLimit)};
    };
    test::fuzz_image(qcow2::kDriver, {data, size}, context);
    use_as_a_whole({data, size});
    return 0;
}
