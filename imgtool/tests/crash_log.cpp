#include "imgtool/tests/crash_log.hpp"

#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/support.hpp"

#include <algorithm>
#include <random>

namespace img::test {

namespace {

constexpr u64 kSector = 512;           // bytes that disks write whole
constexpr std::size_t kShortLog = 400; // events

/// Memory that writes down all that is done to it.
class RecordingSource final : public ByteSource {
public:
    RecordingSource(std::unique_ptr<ByteSource> memory, std::string file,
                    std::vector<FileEvent>& log)
        : memory_{std::move(memory)}, file_{std::move(file)}, log_{log}
    {}

    const std::string& name() const override { return memory_->name(); }
    u64 size() const override { return memory_->size(); }
    bool read_only() const override { return false; }
    u64 allocated() const override { return memory_->size(); }
    Status read(FileOffset at, std::span<u8> into) override { return memory_->read(at, into); }
    Result<Run> run_at(FileOffset at) override { return memory_->run_at(at); }
    Status write(FileOffset at, std::span<const u8> from) override
    {
        note({FileEvent::Kind::write, at.bytes, from.size(), {from.begin(), from.end()}});
        return memory_->write(at, from);
    }
    Status zero(FileOffset at, u64 length) override
    {
        note({FileEvent::Kind::zero, at.bytes, length});
        return memory_->zero(at, length);
    }
    /// Takes no storage from what is there.
    Status reserve(FileOffset at, u64 length) override
    {
        return at.bytes + length > size() ? resize(at.bytes + length) : base::ok();
    }
    Status resize(u64 size) override
    {
        note({FileEvent::Kind::resize, 0, size});
        return memory_->resize(size);
    }
    Status flush() override
    {
        note({FileEvent::Kind::flush});
        return base::ok();
    }

private:
    void note(FileEvent event)
    {
        event.file = file_;
        log_.push_back(std::move(event));
    }

    std::unique_ptr<ByteSource> memory_;
    std::string file_;
    std::vector<FileEvent>& log_;
};

} // namespace

MemoryFiles::MemoryFiles(const MemoryFiles& other)
{
    for (const auto& [name, bytes] : other.files_) {
        files_[name] = std::make_shared<std::vector<u8>>(*bytes);
    }
}

std::shared_ptr<std::vector<u8>>& MemoryFiles::shared(const std::string& name)
{
    auto& bytes = files_[name];
    bytes = bytes ? bytes : std::make_shared<std::vector<u8>>();
    return bytes;
}

std::unique_ptr<ByteSource> MemoryFiles::open(const std::string& name)
{
    return std::make_unique<MemorySource>(shared(name));
}

OpenSibling MemoryFiles::opener()
{
    return [this](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
        return open(name);
    };
}

void MemoryFiles::apply(const FileEvent& event)
{
    MemorySource file{shared(event.file)};
    switch (event.kind) {
    case FileEvent::Kind::write:
        REQUIRE(file.write(FileOffset{event.at}, event.bytes));
        return;
    case FileEvent::Kind::zero:
        REQUIRE(file.zero(FileOffset{event.at}, event.length));
        return;
    case FileEvent::Kind::resize:
        REQUIRE(file.resize(event.length));
        return;
    case FileEvent::Kind::flush:
        return;
    }
}

void MemoryFiles::apply_part(const FileEvent& event, u32 seed)
{
    if (event.kind != FileEvent::Kind::write) {
        apply(event);
        return;
    }
    std::mt19937 random{seed};
    MemorySource file{shared(event.file)};
    for (u64 done = 0; done < event.length;) {
        const u64 n = std::min(event.length - done, kSector - (event.at + done) % kSector);
        if (random() % 2 == 0) {
            REQUIRE(
                file.write(FileOffset{event.at + done}, std::span{event.bytes}.subspan(done, n)));
        }
        done += n;
    }
}

std::unique_ptr<ByteSource> RecordedFiles::open(const std::string& name)
{
    return std::make_unique<RecordingSource>(files_.open(name), name, log_.log);
}

OpenSibling RecordedFiles::opener()
{
    return [this](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
        return open(name);
    };
}

int each_prefix(const FileLog& r, std::size_t step, const AtCut& look)
{
    MemoryFiles files = r.start;
    int cuts = 0;
    for (std::size_t i = 0; i < r.log.size(); ++i) {
        if (i % (step * 4) == 0 && r.log[i].length > kSector) {
            MemoryFiles torn = files;
            torn.apply_part(r.log[i], static_cast<u32>(i));
            look(std::move(torn), {i, i + 1});
            ++cuts;
        }
        files.apply(r.log[i]);
        if (i % step == 0 || i + 1 == r.log.size()) {
            look(files, {i + 1, i + 1});
            ++cuts;
        }
    }
    return cuts;
}

int each_loss(const FileLog& r, u32 seed, const AtCut& look)
{
    MemoryFiles stable = r.start;
    std::vector<std::size_t> pending;
    std::mt19937 random{seed};
    int cuts = 0;
    for (std::size_t i = 0; i < r.log.size(); ++i) {
        pending.push_back(i);
        const bool is_flush = r.log[i].kind == FileEvent::Kind::flush;
        const bool is_cut = is_flush || random() % 97 == 0;
        const u32 some = r.log.size() < kShortLog ? 8 : 2;
        const u32 trials = !is_cut ? 0 : pending.size() < 5 ? std::max(some, 5u) : some;
        for (u32 trial = 0; trial < trials; ++trial) {
            MemoryFiles left = stable;
            for (const std::size_t p : pending) {
                const u32 fate = random() % 8;
                if (fate < 4) {
                    left.apply(r.log[p]);
                } else if (fate == 4) {
                    left.apply_part(r.log[p], random());
                }
            }
            look(std::move(left), {pending.front(), i + 1});
            ++cuts;
        }
        if (is_flush) {
            const auto is_settled = [&](std::size_t p) { return r.log[p].file == r.log[i].file; };
            for (const std::size_t p : pending) {
                if (is_settled(p)) {
                    stable.apply(r.log[p]);
                }
            }
            std::erase_if(pending, is_settled);
        }
    }
    return cuts;
}

} // namespace img::test
