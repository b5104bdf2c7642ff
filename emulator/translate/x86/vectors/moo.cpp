#include "emulator/translate/x86/vectors/moo.hpp"

#include <span>
#include <string_view>
#include <zlib.h>

namespace emu::moo {

namespace {

constexpr std::size_t kLargestFile = 256u << 20; // unpacked; real ones have a few MiB

base::Result<std::vector<u8>> unpack(const std::filesystem::path& path)
{
    gzFile file = gzopen(path.c_str(), "rb");
    if (file == nullptr) {
        return base::fail(base::Errc::io, "cannot open " + path.string());
    }
    std::vector<u8> bytes;
    std::array<u8, 65536> part{};
    int count = 0;
    while ((count = gzread(file, part.data(), part.size())) > 0 && bytes.size() < kLargestFile) {
        bytes.insert(bytes.end(), part.begin(), part.begin() + count);
    }
    gzclose(file);
    if (count != 0) {
        return base::fail(base::Errc::corrupt, "cannot unpack " + path.string());
    }
    return bytes;
}

/// Little-endian numbers from the front of some bytes; zeros behind their end.
class Cursor {
public:
    explicit Cursor(std::span<const u8> bytes) : rest_{bytes} {}

    bool done() const { return rest_.empty(); }
    std::span<const u8> take(std::size_t size)
    {
        size = std::min(size, rest_.size());
        const auto part = rest_.first(size);
        rest_ = rest_.subspan(size);
        return part;
    }
    u32 number(unsigned size)
    {
        u32 value = 0;
        unsigned shift = 0;
        for (const u8 byte : take(size)) {
            value |= u32{byte} << shift;
            shift += 8;
        }
        return value;
    }

private:
    std::span<const u8> rest_;
};

struct Chunk {
    std::string_view name;
    Cursor body;
};

Chunk next_chunk(Cursor& from)
{
    const auto name = from.take(4);
    const u32 length = from.number(4);
    return {{reinterpret_cast<const char*>(name.data()), name.size()}, Cursor{from.take(length)}};
}

Snapshot read_snapshot(Cursor from)
{
    Snapshot snapshot;
    while (!from.done()) {
        Chunk chunk = next_chunk(from);
        if (chunk.name == "REGS") {
            const u32 mask = chunk.body.number(2);
            for (unsigned n = 0; n < kRegisters; ++n) {
                if ((mask >> n & 1) != 0) {
                    snapshot.registers[n] = static_cast<u16>(chunk.body.number(2));
                }
            }
        } else if (chunk.name == "RAM ") {
            chunk.body.number(4);
            while (!chunk.body.done()) {
                const u32 address = chunk.body.number(4);
                snapshot.ram.push_back({address, static_cast<u8>(chunk.body.number(1))});
            }
        }
    }
    return snapshot;
}

Test read_test(Cursor from)
{
    Test test{};
    from.number(4); // its index in the full set
    while (!from.done()) {
        Chunk chunk = next_chunk(from);
        if (chunk.name == "NAME") {
            const auto text = chunk.body.take(chunk.body.number(4));
            test.name.assign(text.begin(), text.end());
        } else if (chunk.name == "BYTS") {
            const u32 length = chunk.body.number(4);
            test.length = length == 0 ? 0 : length - 1; // the HLT behind it
        } else if (chunk.name == "INIT") {
            test.before = read_snapshot(chunk.body);
        } else if (chunk.name == "FINA") {
            test.after = read_snapshot(chunk.body);
        } else if (chunk.name == "EXCP") {
            const auto vector = static_cast<u8>(chunk.body.number(1));
            test.exception = {vector, chunk.body.number(4)};
        }
    }
    return test;
}

} // namespace

base::Result<std::vector<Test>> read_file(const std::filesystem::path& path)
{
    auto bytes = unpack(path);
    if (!bytes) {
        return std::move(bytes).error();
    }
    Cursor cursor{bytes.value()};
    std::vector<Test> tests;
    if (next_chunk(cursor).name != "MOO ") {
        return base::fail(base::Errc::corrupt, path.string() + " is no MOO file");
    }
    while (!cursor.done()) {
        Chunk chunk = next_chunk(cursor);
        if (chunk.name == "TEST") {
            tests.push_back(read_test(chunk.body));
        }
    }
    return tests;
}

} // namespace emu::moo
