// qcow2 images in memory, for tests.
#pragma once

#include "imgtool/formats/qcow2/qcow2.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <memory>
#include <vector>

namespace img::test {

using Bytes = std::shared_ptr<std::vector<u8>>;

inline Bytes make_qcow2(const qcow2::CreateParameters& parameters)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    const auto made = qcow2::create(file, parameters);
    if (!made) {
        FAIL(made.error().message);
    }
    return bytes;
}

inline std::unique_ptr<Image> open_qcow2_image(const Bytes& bytes, OpenFor purpose = OpenFor::use)
{
    return need(open_alone(qcow2::kDriver, std::make_unique<MemorySource>(bytes), purpose));
}

inline std::unique_ptr<ChainDisk> open_qcow2(const Bytes& bytes)
{
    std::vector<Layer> layers;
    layers.push_back({.image = open_qcow2_image(bytes), .path = "memory", .format = "qcow2"});
    return std::make_unique<ChainDisk>(std::move(layers), false);
}

inline CheckReport check_qcow2(const Bytes& bytes, Repair repair = Repair::none)
{
    std::string problems;
    auto image = open_qcow2_image(bytes, OpenFor::check);
    auto report = need(image->check(repair, [&](const std::string& p) { problems += p + "\n"; }));
    UNSCOPED_INFO(problems);
    return report;
}

} // namespace img::test
