// A raw disk in memory for tests of the server: with holes, and with faults where they are wanted.
#pragma once

#include "imgtool/chain/chain.hpp"
#include "imgtool/format.hpp"
#include "imgtool/formats/raw/raw.hpp"

#include <algorithm>
#include <memory>
#include <vector>

namespace img::nbd {

/// What a test sees of the disk and may change at any time.
struct TestState {
    std::vector<u8> bytes;
    std::vector<bool> stored; // pages of 4096 bytes; the others are holes
    u64 bad_from = ~u64{0};   // reads of this byte and those after it fail
    u64 full_from = ~u64{0};  // and writes
    int flushes = 0;
};

class TestSource final : public ByteSource {
public:
    static constexpr u64 kPage = 4096; // bytes

    explicit TestSource(std::shared_ptr<TestState> state) : state_{std::move(state)} {}

    const std::string& name() const override { return name_; }
    u64 size() const override { return state_->bytes.size(); }
    bool read_only() const override { return false; }
    u64 allocated() const override { return kUnknown; }
    Status read(FileOffset at, std::span<u8> into) override
    {
        if (at.bytes + into.size() > state_->bad_from) {
            return base::fail(base::Errc::io, "/secret/path: Input/output error");
        }
        std::copy_n(state_->bytes.begin() + static_cast<std::ptrdiff_t>(at.bytes), into.size(),
                    into.begin());
        return base::ok();
    }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        if (at.bytes + from.size() > state_->full_from) {
            return base::fail(base::Errc::io, "/secret/path: No space left on device");
        }
        std::ranges::copy(from, state_->bytes.begin() + static_cast<std::ptrdiff_t>(at.bytes));
        mark(at.bytes, from.size(), true);
        return base::ok();
    }
    Status zero(FileOffset at, u64 length) override
    {
        std::fill_n(state_->bytes.begin() + static_cast<std::ptrdiff_t>(at.bytes), length, u8{0});
        if (at.bytes % kPage == 0 && length % kPage == 0) {
            mark(at.bytes, length, false);
        }
        return base::ok();
    }
    Status resize(u64) override { return base::fail(base::Errc::unsupported, "no"); }
    Status reserve(FileOffset, u64) override { return base::fail(base::Errc::unsupported, "no"); }
    Status flush() override
    {
        ++state_->flushes;
        return base::ok();
    }
    Result<Run> run_at(FileOffset at) override
    {
        u64 page = at.bytes / kPage;
        const bool data = state_->stored[page];
        while (page < state_->stored.size() && state_->stored[page] == data) {
            ++page;
        }
        return Run{.data = data, .length = page * kPage - at.bytes};
    }

private:
    void mark(u64 at, u64 length, bool stored)
    {
        for (u64 page = at / kPage; page * kPage < at + length; ++page) {
            state_->stored[page] = stored;
        }
    }

    std::shared_ptr<TestState> state_;
    std::string name_ = "test";
};

/// An empty disk of whole pages.
struct TestDisk {
    explicit TestDisk(u64 size, bool read_only = false) : state{std::make_shared<TestState>()}
    {
        state->bytes.resize(size);
        state->stored.resize(size / TestSource::kPage);
        auto image = open_alone(raw::kDriver, std::make_unique<TestSource>(state));
        std::vector<Layer> layers;
        layers.push_back({.image = std::move(image).value(), .path = "test", .format = "raw"});
        disk = std::make_unique<ChainDisk>(std::move(layers), read_only);
    }

    std::shared_ptr<TestState> state;
    std::unique_ptr<ChainDisk> disk;
};

} // namespace img::nbd
