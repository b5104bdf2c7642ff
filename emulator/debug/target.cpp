#include "emulator/debug/target.hpp"

#include "emulator/hostio/picture.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>

namespace emu::debug {

namespace {

using base::Errc;

constexpr u64 kMaxSave = u64{64} << 30; // bytes: all that an address space has

} // namespace

base::Status screendump(const Target& target, const std::string& file, PictureFormat format)
{
    if (target.display == nullptr) {
        return base::fail(Errc::unsupported, "there is no display device");
    }
    Frame frame;
    target.display->render(frame);
    const auto bytes =
        format == PictureFormat::png ? hostio::encode_png(frame) : hostio::encode_ppm(frame);
    return hostio::write_file(file, bytes);
}

base::Status read_memory(const Target& target, u64 address, std::span<u8> into,
                         Addressing addressing)
{
    if (addressing == Addressing::physical) {
        target.memory->read(address, into);
        return base::ok();
    }
    while (!into.empty()) {
        const auto physical = target.machine->cpu().virtual_to_physical(address);
        if (!physical) {
            return base::fail(Errc::invalid_argument,
                              fmt::format("cannot access memory at address {:#x}", address));
        }
        const u64 in_page = kPageSize - address % kPageSize;
        const std::size_t size = std::min<u64>(in_page, into.size());
        target.memory->read(*physical, into.first(size));
        into = into.subspan(size);
        address += size;
    }
    return base::ok();
}

base::Status save_memory(const Target& target, u64 address, u64 size, const std::string& file,
                         Addressing addressing)
{
    if (size > kMaxSave) {
        return base::fail(Errc::invalid_argument, "at most 64 GiB can be saved");
    }
    std::ofstream out{file, std::ios::binary | std::ios::trunc};
    std::vector<u8> buffer;
    while (size > 0 && out) {
        buffer.resize(std::min<u64>(size, kPageSize * 16));
        if (auto read = read_memory(target, address, buffer, addressing); !read) {
            return read;
        }
        out.write(reinterpret_cast<const char*>(buffer.data()),
                  static_cast<std::streamsize>(buffer.size()));
        address += buffer.size();
        size -= buffer.size();
    }
    out.close();
    if (!out) {
        return base::fail(Errc::io, "could not write '" + file + "'");
    }
    return base::ok();
}

base::Status inject_nmi(const Target& target)
{
    constexpr std::string_view kButton = "nmi";
    const bool taken = target.machine->door().post(
        "system", {reinterpret_cast<const u8*>(kButton.data()), kButton.size()});
    return taken ? base::ok()
                 : base::Status{base::fail(Errc::unsupported, "the machine takes no input now")};
}

void KeySender::send(std::vector<hostio::KeyCode> keys, u64 hold_ms)
{
    release();
    for (const hostio::KeyCode key : keys) {
        target_.input->key(key, true);
    }
    held_ = std::move(keys);
    if (!timer_) {
        timer_.emplace(target_.machine->clock(), "sendkey", [this] { release(); });
    }
    timer_->arm_in(hold_ms * 1'000'000);
}

void KeySender::release()
{
    if (timer_) {
        timer_->cancel();
    }
    for (auto key = held_.rbegin(); key != held_.rend(); ++key) {
        target_.input->key(*key, false);
    }
    held_.clear();
}

} // namespace emu::debug
