#include "imgtool/source/aligned_source.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

using namespace img;
using img::test::need;
using img::test::noise;

namespace {

constexpr u64 kBlock = 4096;
constexpr u64 kSize = 8 * kBlock;

/// Memory that takes whole blocks only, as servers do that say so.
class WholeBlocks final : public ByteSource {
public:
    explicit WholeBlocks(std::shared_ptr<std::vector<u8>> bytes) : memory_{std::move(bytes), kSize}
    {}
    const std::string& name() const override { return memory_.name(); }
    u64 size() const override { return memory_.size(); }
    bool read_only() const override { return false; }
    bool fixed_size() const override { return true; }
    u64 allocated() const override { return kUnknown; }
    Status read(FileOffset at, std::span<u8> into) override
    {
        auto good = check(at, into.size());
        return good ? memory_.read(at, into) : good;
    }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        auto good = check(at, from.size());
        return good ? memory_.write(at, from) : good;
    }
    Status zero(FileOffset at, u64 length) override
    {
        auto good = check(at, length);
        return good ? memory_.zero(at, length) : good;
    }
    Status resize(u64) override { return base::fail(base::Errc::unsupported, "no"); }
    Status reserve(FileOffset, u64) override { return base::ok(); }
    Status flush() override { return base::ok(); }
    Result<Run> run_at(FileOffset at) override
    {
        if (auto good = check(at, 0); !good) {
            return std::move(good).error();
        }
        return Run{.data = at.bytes < 2 * kBlock, .length = 2 * kBlock};
    }

private:
    static Status check(FileOffset at, u64 length)
    {
        return at.bytes % kBlock == 0 && length % kBlock == 0
                   ? base::ok()
                   : Status{base::fail(base::Errc::io, "Invalid argument")};
    }
    MemorySource memory_;
};

struct Bench {
    std::shared_ptr<std::vector<u8>> bytes = std::make_shared<std::vector<u8>>(noise(kSize, 1));
    std::vector<u8> mirror = *bytes;
    AlignedSource file{std::make_unique<WholeBlocks>(bytes), kBlock};
};

struct Range {
    u64 at, length;
};

/// In one block, from one into the next, whole blocks, and all there is.
constexpr Range kRanges[]{{0, 1},     {4095, 1},         {4095, 2},
                          {100, 200}, {100, 3 * kBlock}, {kBlock, kBlock},
                          {0, kSize}, {kSize - 1, 1},    {kBlock - 1, 2 * kBlock + 2}};

} // namespace

TEST_CASE("aligned source: any range is read from whole blocks")
{
    Bench bench;
    for (const auto& [at, length] : kRanges) {
        std::vector<u8> into(length);
        REQUIRE(bench.file.read(FileOffset{at}, into));
        CHECK(into ==
              std::vector<u8>(bench.mirror.begin() + static_cast<std::ptrdiff_t>(at),
                              bench.mirror.begin() + static_cast<std::ptrdiff_t>(at + length)));
    }
}

TEST_CASE("aligned source: what is written or zeroed changes nothing around it")
{
    Bench bench;
    u32 seed = 2;
    for (const auto& [at, length] : kRanges) {
        const auto begin = bench.mirror.begin() + static_cast<std::ptrdiff_t>(at);
        const std::vector<u8> some = noise(length, seed++);
        REQUIRE(bench.file.write(FileOffset{at}, some));
        std::ranges::copy(some, begin);
        CHECK(*bench.bytes == bench.mirror);
        REQUIRE(bench.file.zero(FileOffset{at}, length));
        std::fill_n(begin, length, u8{0});
        CHECK(*bench.bytes == bench.mirror);
    }
}

TEST_CASE("aligned source: runs begin within blocks, and the end is kept")
{
    Bench bench;

    const auto run = need(bench.file.run_at(FileOffset{kBlock + 10}));

    CHECK(run.data);
    CHECK(run.length == 2 * kBlock - 10);
    CHECK_FALSE(bench.file.write(FileOffset{kSize - 1}, std::vector<u8>(2)));
    CHECK(*bench.bytes == bench.mirror);
}
