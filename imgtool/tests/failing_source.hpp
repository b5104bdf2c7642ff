// A file in memory that fails at a moment of the test's choosing.
#pragma once

#include "imgtool/source/memory_source.hpp"

#include <memory>
#include <vector>

namespace img::test {

/// How a file fails, and what it was asked so far.
struct Failing {
    static constexpr u64 kNever = ~u64{0};

    u64 limit = u64{1} << 28; // bytes; the disk is full where the file would be longer
    u64 room = kNever;        // pages that the disk has for holes which are written to
    u64 at_change = kNever;   // the change or flush, counted from 0, that fails; and none after it
    u64 changes = 0;          // that were asked for
};

class FailingSource final : public ByteSource {
public:
    FailingSource(std::shared_ptr<std::vector<u8>> bytes, Failing& failing)
        : memory_{bytes, failing.limit}, failing_{failing}, stored_(bytes->size() / kPage + 1, true)
    {}

    const std::string& name() const override { return memory_.name(); }
    u64 size() const override { return memory_.size(); }
    bool read_only() const override { return false; }
    u64 allocated() const override { return memory_.allocated(); }
    Status read(FileOffset at, std::span<u8> into) override { return memory_.read(at, into); }
    Result<Run> run_at(FileOffset at) override { return memory_.run_at(at); }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        auto good = count();
        good = good ? take_pages(at.bytes, from.size()) : std::move(good);
        return good ? memory_.write(at, from) : good;
    }
    Status zero(FileOffset at, u64 length) override
    {
        auto good = count();
        if (good) {
            give_pages(at.bytes, length);
        }
        return good ? memory_.zero(at, length) : good;
    }
    Status reserve(FileOffset at, u64 length) override
    {
        auto good = count();
        good = good ? take_pages(at.bytes, length) : std::move(good);
        return good ? memory_.reserve(at, length) : good;
    }
    Status resize(u64 size) override
    {
        auto good = count();
        if (good && size < this->size()) {
            give_pages(size, this->size() - size);
        }
        return good ? memory_.resize(size) : good;
    }
    Status flush() override { return count(); }

private:
    static constexpr u64 kPage = 512; // bytes

    /// Takes storage for what has none, as far as there is some.
    Status take_pages(u64 at, u64 length)
    {
        for (u64 page = at / kPage; page * kPage < at + length; ++page) {
            stored_.resize(std::max<std::size_t>(stored_.size(), page + 1));
            if (!stored_[page] && failing_.room != Failing::kNever && failing_.room-- == 0) {
                failing_.room = 0;
                return base::fail(base::Errc::io, "No space left on device");
            }
            stored_[page] = true;
        }
        return base::ok();
    }
    /// Whole pages become holes.
    void give_pages(u64 at, u64 length)
    {
        for (u64 page = (at + kPage - 1) / kPage;
             (page + 1) * kPage <= at + length && page < stored_.size(); ++page) {
            failing_.room += failing_.room != Failing::kNever && stored_[page] ? 1 : 0;
            stored_[page] = false;
        }
    }
    Status count()
    {
        return failing_.changes++ == failing_.at_change
                   ? Status{base::fail(base::Errc::io, "No space left on device")}
                   : base::ok();
    }

    MemorySource memory_;
    Failing& failing_;
    std::vector<bool> stored_; // by page
};

} // namespace img::test
