#include "emulator/devices/firmware/multiboot_image.hpp"

#include "base/endian.hpp"

#include <algorithm>

namespace emu::devices {

namespace {

using namespace base;

constexpr u32 kMagic = 0x1bad'b002;
constexpr std::size_t kSearched = 8192; // the header lies in these bytes as a whole
constexpr std::size_t kHeaderSize = 12;
constexpr std::size_t kAddressesEnd = 32;
constexpr std::size_t kVideoEnd = 48;
constexpr u64 kFourGiB = u64{1} << 32;
constexpr std::size_t kMaxSegments = 256;

namespace flag {
constexpr u32 align_modules = 0x0001; // ours always are
constexpr u32 memory = 0x0002;        // always given
constexpr u32 video = 0x0004;
constexpr u32 required = 0xffff; // who does not understand one of these must not start the kernel
constexpr u32 addresses = 0x1'0000;
} // namespace flag

struct Header {
    std::size_t at = 0; // in the file
    u32 flags = 0;
};

std::optional<Header> find_header(std::span<const u8> file)
{
    const std::size_t end = std::min(file.size(), kSearched);
    for (std::size_t at = 0; at + kHeaderSize <= end; at += 4) {
        const u32 flags = load_le<u32>(file, at + 4);
        if (load_le<u32>(file, at) != kMagic || kMagic + flags + load_le<u32>(file, at + 8) != 0) {
            continue;
        }
        const std::size_t size = (flags & flag::video) != 0       ? kVideoEnd
                                 : (flags & flag::addresses) != 0 ? kAddressesEnd
                                                                  : kHeaderSize;
        if (at + size <= end) {
            return Header{at, flags};
        }
    }
    return std::nullopt;
}

Error corrupt(const char* what)
{
    return {Errc::corrupt, std::string{"Multiboot kernel: "} + what};
}

/// "The address fields of Multiboot header" (3.1.3).
Result<MultibootImage> parse_by_addresses(std::span<const u8> file, std::size_t at)
{
    const u64 header = load_le<u32>(file, at + 12);
    const u64 load = load_le<u32>(file, at + 16);
    const u64 load_end = load_le<u32>(file, at + 20); // 0: all of the file
    const u64 bss_end = load_le<u32>(file, at + 24);  // 0: none
    if (header < load || header - load > at) {
        return corrupt("its load address does not fit its header's place in the file");
    }
    const u64 from = at - (header - load);
    const u64 bytes = load_end == 0 ? file.size() - from : load_end - load;
    if ((load_end != 0 && load_end < load) || bytes > file.size() - from) {
        return corrupt("its load addresses reach beyond the file");
    }
    if (bss_end != 0 && bss_end < load + bytes) {
        return corrupt("its bss ends before its data");
    }
    const u64 size = bss_end != 0 ? bss_end - load : bytes;
    if (load + size > kFourGiB) {
        return corrupt("it reaches beyond 4 GiB");
    }
    MultibootImage image;
    image.entry = load_le<u32>(file, at + 28);
    image.segments.push_back(
        {static_cast<u32>(load), static_cast<u32>(size), file.subspan(from, bytes)});
    return image;
}

// Offsets in ELF's header and program headers
enum ElfOffset : std::size_t {
    kClass = 4,
    kData = 5,
    kType = 16,
    kMachine = 18,
    kEntry = 24,
    kProgramHeaders = 28,
    kProgramHeaderSize = 42,
    kProgramHeaderCount = 44,
    kElfHeaderSize = 52,
    kSegmentOffset = 4,
    kVirtualAddress = 8,
    kPhysicalAddress = 12,
    kFileSize = 16,
    kMemorySize = 20,
    kSegmentHeaderSize = 32
};

Status check_elf(std::span<const u8> file)
{
    constexpr u8 k32Bit = 1;
    constexpr u8 kLittleEndian = 1;
    constexpr u16 kExecutable = 2;
    constexpr u16 k386 = 3;
    constexpr u32 kElfMagic = 0x464c'457f;
    if (file.size() < kElfHeaderSize || load_le<u32>(file, 0) != kElfMagic) {
        return fail(Errc::unsupported,
                    "Multiboot kernel: neither an ELF file nor one with address fields");
    }
    if (file[kClass] != k32Bit) {
        return fail(Errc::unsupported,
                    "Multiboot kernel: a 64-bit ELF file (Multiboot starts 32-bit ones)");
    }
    if (file[kData] != kLittleEndian || load_le<u16>(file, kMachine) != k386) {
        return fail(Errc::unsupported, "Multiboot kernel: an ELF file of another architecture");
    }
    if (load_le<u16>(file, kType) != kExecutable) {
        return fail(Errc::unsupported, "Multiboot kernel: an ELF file that is no executable");
    }
    return ok();
}

Result<MultibootImage> parse_elf(std::span<const u8> file)
{
    constexpr u32 kLoad = 1;
    if (auto status = check_elf(file); !status) {
        return std::move(status).error();
    }
    const u64 table = load_le<u32>(file, kProgramHeaders);
    const u64 stride = load_le<u16>(file, kProgramHeaderSize);
    const u64 count = load_le<u16>(file, kProgramHeaderCount);
    if (stride < kSegmentHeaderSize || table + stride * count > file.size()) {
        return corrupt("its program headers do not fit the file");
    }
    MultibootImage image;
    image.entry = load_le<u32>(file, kEntry);
    bool entered = false; // the entry's segment is known
    for (u64 i = 0; i < count; ++i) {
        const auto header = file.subspan(table + i * stride, kSegmentHeaderSize);
        const u64 offset = load_le<u32>(header, kSegmentOffset);
        const u32 from = load_le<u32>(header, kVirtualAddress);
        const u64 address = load_le<u32>(header, kPhysicalAddress);
        const u64 bytes = load_le<u32>(header, kFileSize);
        const u32 size = load_le<u32>(header, kMemorySize);
        if (load_le<u32>(header, 0) != kLoad || size == 0) {
            continue;
        }
        if (bytes > size || offset + bytes > file.size()) {
            return corrupt("a segment does not fit the file");
        }
        if (address + size > kFourGiB) {
            return corrupt("a segment reaches beyond 4 GiB");
        }
        if (image.segments.size() == kMaxSegments) {
            return fail(Errc::unsupported, "Multiboot kernel: more than 256 segments");
        }
        const u32 inside = image.entry - from;
        if (!entered && inside < size) { // e_entry is a virtual address
            image.entry = static_cast<u32>(address + inside);
            entered = true;
        }
        image.segments.push_back({static_cast<u32>(address), size, file.subspan(offset, bytes)});
    }
    if (image.segments.empty()) {
        return corrupt("it has nothing to load");
    }
    return image;
}

} // namespace

bool is_multiboot_kernel(std::span<const u8> file)
{
    return find_header(file).has_value();
}

Result<MultibootImage> parse_multiboot(std::span<const u8> file)
{
    const auto header = find_header(file);
    if (!header) {
        return fail(Errc::wrong_format, "no Multiboot header in the first 8192 bytes");
    }
    const u32 known = flag::align_modules | flag::memory | flag::video;
    if ((header->flags & flag::required & ~known) != 0) {
        return fail(Errc::unsupported, "Multiboot kernel: it requires features that are not in "
                                       "Multiboot 0.6.96 (flags 3 to 15)");
    }
    auto image = (header->flags & flag::addresses) != 0 ? parse_by_addresses(file, header->at)
                                                        : parse_elf(file);
    if (image && (header->flags & flag::video) != 0) {
        const std::size_t at = header->at + kAddressesEnd;
        image.value().video = MultibootVideo{.text = load_le<u32>(file, at) == 1,
                                             .width = load_le<u32>(file, at + 4),
                                             .height = load_le<u32>(file, at + 8),
                                             .depth = load_le<u32>(file, at + 12)};
    }
    return image;
}

} // namespace emu::devices
