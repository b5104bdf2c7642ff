// Folders as FAT disks (QEMU's documentation, "Virtual FAT disk images").
#include "imgtool/node/protocols.hpp"
#include "imgtool/source/fat/fat_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace img::node {

namespace {

using base::Errc;
using base::fail;

constexpr std::size_t kMaxLabel = 11; // bytes

/// "fat:[floppy:][12:|16:|32:][rw:]folder"; the folder is what follows the last colon.
Result<Options> parse(std::string_view name)
{
    const std::size_t colon = name.rfind(':');
    const std::string_view words = name.substr(0, colon + 1);
    const auto has = [&words](std::string_view word) {
        return words.find(word) != std::string_view::npos;
    };
    const u64 bits = has(":32:") ? 32 : has(":16:") ? 16 : has(":12:") ? 12 : 0;
    Options options;
    options.set("fat-type", Value::of_number(bits));
    options.set("floppy", Value::of_boolean(has(":floppy:")));
    options.set("rw", Value::of_boolean(has(":rw:")));
    options.set("dir", std::string{name.substr(colon + 1)});
    return options;
}

Result<OpenedSource> open(Options& options, const How& how)
{
    Value full = Value::object();
    for (const std::string_view part : {"dir", "fat-type", "floppy", "label", "rw"}) {
        if (const Value* value = options.find(part)) {
            full.add(std::string{part}, *value);
        }
    }
    const auto folder = options.take("dir");
    auto bits = take_number(options, "fat-type");
    auto floppy = take_boolean(options, "floppy");
    auto writable = take_boolean(options, "rw");
    for (const base::Error* wrong :
         {bits ? nullptr : &bits.error(), floppy ? nullptr : &floppy.error(),
          writable ? nullptr : &writable.error()}) {
        if (wrong != nullptr) {
            return *wrong;
        }
    }
    if (!folder || folder->empty()) {
        return fail(Errc::invalid_argument, "vvfat block driver requires a 'dir' option");
    }
    if (writable.value().value_or(false)) {
        return how.read_only ? fail(Errc::invalid_argument,
                                    "Unable to set VVFAT to 'rw' when drive is read-only")
                             : fail(Errc::unsupported, "writing to vvfat (rw) is not supported");
    }
    fat::Parameters parameters{
        .medium = floppy.value().value_or(false) ? fat::Medium::floppy : fat::Medium::disk,
        .bits = static_cast<int>(std::min<u64>(bits.value().value_or(0), 64))};
    if (const auto label = options.take("label")) {
        if (label->size() > kMaxLabel) {
            return fail(Errc::invalid_argument, "vvfat label cannot be longer than 11 bytes");
        }
        parameters.label = *label;
    }
    if (auto known = refuse_unknown(options, "vvfat", true); !known) {
        return std::move(known).error();
    }
    auto source = fat::FatSource::open(*folder, parameters);
    if (!source) {
        return std::move(source).error();
    }
    return OpenedSource{.file = std::move(source).value(),
                        .name = {.full = std::move(full),
                                 .is_protocol = true,
                                 .no_origin = "Cannot generate a base directory for vvfat nodes"}};
}

constexpr std::array<std::string_view, 1> kPrefixes{"fat"};

} // namespace

const Protocol kFatProtocol{"vvfat", kPrefixes, parse, open};

} // namespace img::node
