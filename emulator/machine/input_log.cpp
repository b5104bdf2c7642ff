#include "emulator/machine/input_log.hpp"

#include "base/endian.hpp"

#include <algorithm>
#include <iterator>
#include <zlib.h>

namespace emu {

namespace {

using base::Errc;

constexpr std::array<u8, 8> kMagic{'M', 'E', 'N', 'A', 'G', 'L', 'O', 'G'};
constexpr u32 kVersion = 1;
constexpr std::size_t kHeaderSize = 8 + 4 + 32;
constexpr std::size_t kRecordOverhead = 1 + 4 + 4;
constexpr std::size_t kEntryFixed = 8 + 8 + 1;
constexpr u8 kEntryKind = 1;
constexpr u8 kEndKind = 2;

template <class T>
void append_le(std::vector<u8>& out, T value)
{
    const std::size_t at = out.size();
    out.resize(at + sizeof(T));
    base::store_le<T>(out, at, value);
}

u32 crc_of(u32 crc, std::span<const u8> bytes)
{
    return static_cast<u32>(crc32_z(crc, bytes.data(), bytes.size()));
}

base::Result<InputEntry> parse_entry(std::span<const u8> body)
{
    if (body.size() < kEntryFixed || body.size() - kEntryFixed < body[16]) {
        return base::fail(Errc::corrupt, "an entry is too short");
    }
    const std::size_t name_length = body[16];
    InputEntry entry;
    entry.stamp = {base::load_le<u64>(body, 0), base::load_le<u64>(body, 8)};
    const auto name = body.subspan(kEntryFixed, name_length);
    entry.sink.assign(name.begin(), name.end());
    const auto payload = body.subspan(kEntryFixed + name_length);
    entry.payload.assign(payload.begin(), payload.end());
    return entry;
}

base::Status add_record(InputLog& log, u8 kind, std::span<const u8> body)
{
    if (kind == kEndKind) {
        if (body.size() != 16 || base::load_le<u64>(body, 0) != log.entries.size()) {
            return base::fail(Errc::corrupt, "the end record does not fit the entries");
        }
        log.end_instructions = base::load_le<u64>(body, 8);
        log.complete = true;
        return base::ok();
    }
    if (kind != kEntryKind) {
        return base::fail(Errc::corrupt, "unknown record kind " + std::to_string(kind));
    }
    auto entry = parse_entry(body);
    if (!entry) {
        return std::move(entry).error();
    }
    const InputStamp& stamp = entry.value().stamp;
    if (!log.entries.empty()) {
        const InputStamp& last = log.entries.back().stamp;
        if (stamp.instructions < last.instructions || stamp.ns < last.ns) {
            return base::fail(Errc::corrupt, "entries are not in the order of time");
        }
    }
    log.entries.push_back(std::move(entry).value());
    return base::ok();
}

} // namespace

base::Result<InputLog> parse_input_log(std::span<const u8> file)
{
    if (file.size() < kHeaderSize || !std::equal(kMagic.begin(), kMagic.end(), file.begin())) {
        return base::fail(Errc::wrong_format, "not an input log");
    }
    const u32 version = base::load_le<u32>(file, 8);
    if (version != kVersion) {
        return base::fail(Errc::unsupported, "input log of version " + std::to_string(version) +
                                                 ", this program reads version 1");
    }
    InputLog log;
    std::copy_n(file.begin() + 12, log.machine.size(), log.machine.begin());
    u32 crc = crc_of(0, file.first(kHeaderSize));
    std::size_t at = kHeaderSize;
    while (at < file.size()) {
        const std::size_t left = file.size() - at;
        if (log.complete) {
            return base::fail(Errc::corrupt, "bytes follow the end record");
        }
        if (left < kRecordOverhead) {
            break; // cut off in the middle of a record
        }
        const std::size_t length = base::load_le<u32>(file, at + 1);
        if (left - kRecordOverhead < length) {
            break;
        }
        crc = crc_of(crc, file.subspan(at, 5 + length));
        if (base::load_le<u32>(file, at + 5 + length) != crc) {
            return base::fail(Errc::corrupt, "checksum is wrong at byte " + std::to_string(at));
        }
        if (auto added = add_record(log, file[at], file.subspan(at + 5, length)); !added) {
            return std::move(added).error();
        }
        crc = crc_of(crc, file.subspan(at + 5 + length, 4));
        at += kRecordOverhead + length;
    }
    return log;
}

base::Result<InputLog> read_input_log(const std::string& path)
{
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        return base::fail(Errc::io, "cannot open " + path);
    }
    constexpr std::size_t kLimit = std::size_t{1} << 30;
    file.seekg(0, std::ios::end);
    const auto size = file.tellg();
    if (size < 0 || static_cast<std::size_t>(size) > kLimit) {
        return base::fail(Errc::unsupported, path + ": larger than 1 GiB");
    }
    std::vector<u8> bytes(static_cast<std::size_t>(size));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(bytes.data()), size);
    if (!file) {
        return base::fail(Errc::io, "cannot read " + path);
    }
    auto log = parse_input_log(bytes);
    if (!log) {
        return std::move(log).error().in(path);
    }
    return log;
}

base::Result<InputLogWriter> InputLogWriter::create(const std::string& path,
                                                    const MachineDigest& machine)
{
    InputLogWriter writer;
    writer.path_ = path;
    writer.file_.open(path, std::ios::binary | std::ios::trunc);
    std::vector<u8> header(kMagic.begin(), kMagic.end());
    append_le<u32>(header, kVersion);
    header.insert(header.end(), machine.begin(), machine.end());
    writer.put(header);
    writer.file_.flush();
    if (!writer.file_) {
        return base::fail(Errc::io, "cannot write " + path);
    }
    return writer;
}

base::Status InputLogWriter::append(const InputEntry& entry)
{
    if (entry.sink.size() > 255) {
        return base::fail(Errc::invalid_argument, "input sink name is longer than 255 bytes");
    }
    std::vector<u8> body;
    append_le<u64>(body, entry.stamp.instructions);
    append_le<u64>(body, entry.stamp.ns);
    append_le<u8>(body, static_cast<u8>(entry.sink.size()));
    body.insert(body.end(), entry.sink.begin(), entry.sink.end());
    body.insert(body.end(), entry.payload.begin(), entry.payload.end());
    ++entries_;
    return record(kEntryKind, body);
}

base::Status InputLogWriter::finish(u64 instructions)
{
    std::vector<u8> body;
    append_le<u64>(body, entries_);
    append_le<u64>(body, instructions);
    return record(kEndKind, body);
}

base::Status InputLogWriter::record(u8 kind, std::span<const u8> body)
{
    std::vector<u8> head;
    append_le<u8>(head, kind);
    append_le<u32>(head, static_cast<u32>(body.size()));
    put(head);
    put(body);
    std::vector<u8> check;
    append_le<u32>(check, crc_);
    put(check);
    file_.flush();
    if (!file_) {
        return base::fail(Errc::io, "cannot write " + path_);
    }
    return base::ok();
}

void InputLogWriter::put(std::span<const u8> bytes)
{
    crc_ = crc_of(crc_, bytes);
    file_.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
}

} // namespace emu
