#include "emulator/boards/device_models.hpp"
#include "emulator/boards/pc_spec.hpp"

#include <catch2/catch.hpp>

using namespace emu::boards;

namespace {

std::optional<BoardFault> fault_of(std::span<const MemorySpec> memories,
                                   std::span<const PortSpec> ports, std::span<const IrqSpec> irqs)
{
    return find_fault({"test", "", "any", memories, ports, irqs});
}

} // namespace

TEST_CASE("board spec: neighbours are fine, one shared port is not")
{
    constexpr std::array kFine{PortSpec{"a", 0x100, 8}, PortSpec{"b", 0x108, 8}};
    constexpr std::array kBad{PortSpec{"a", 0x100, 9}, PortSpec{"b", 0x108, 8}};

    CHECK(fault_of({}, kFine, {}) == std::nullopt);
    CHECK(fault_of({}, kBad, {}) == BoardFault::port_overlap);
}

TEST_CASE("board spec: memory overlaps and empty ranges are found")
{
    constexpr std::array kBad{MemorySpec{"a", 0, 0x1001}, MemorySpec{"b", 0x1000, 0x1000}};
    constexpr std::array kEmpty{MemorySpec{"a", 0, 0}};

    CHECK(fault_of(kBad, {}, {}) == BoardFault::memory_overlap);
    CHECK(fault_of(kEmpty, {}, {}) == BoardFault::empty_range);
}

TEST_CASE("board spec: the cascade is no interrupt of a device")
{
    constexpr std::array kCascade{IrqSpec{"a", 2}};
    constexpr std::array kTwice{IrqSpec{"a", 3}, IrqSpec{"a", 4}};

    CHECK(fault_of({}, {}, kCascade) == BoardFault::bad_irq);
    CHECK(fault_of({}, {}, kTwice) == BoardFault::duplicate_source);
}

TEST_CASE("device models: known ones are found by their exact name")
{
    REQUIRE(find_device_model("ide-cd") != nullptr);
    CHECK(find_device_model("ide-cd")->what == "ATAPI CD-ROM drive");
    CHECK(find_device_model("virtio-net-pci") == nullptr);
}
