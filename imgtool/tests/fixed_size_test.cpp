// Images of all formats in what can neither shrink nor grow and is full of old bytes, as devices
// and NBD exports are: made, written, made longer, amended and checked there.
#include "imgtool/chain/chain.hpp"
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/secret.hpp"
#include "imgtool/tests/old_device.hpp"
#include "imgtool/tests/support.hpp"

#include <map>

using namespace img;
using namespace img::test;

namespace {

constexpr u64 kDeviceSize = u64{24} << 20; // bytes

struct Subject {
    const char* format;
    u64 size; // bytes of the disk
    CreateSettings settings = {};
    u64 grown = 0;             // bytes; 0: disks of the format cannot grow
    CreateSettings amend = {}; // where it can be amended
    bool shows_old = false;    // the format has no way to say what was not written
    CreateSettings keys = {};  // to open it
};

constexpr u64 kMiB = u64{1} << 20;

/// A format registers with a line here, for each kind of image that is made differently.
std::vector<Subject> subjects()
{
    const CreateSettings luks_key{{"encrypt.key-secret", "s"}};
    return {
        {"raw", 2 * kMiB, {}, 0, {}, true},
        {"raw", 2 * kMiB, {{"preallocation", "falloc"}}, 0, {}, true},
        {"qcow2", 2 * kMiB, {}, 5 * kMiB, {{"refcount_bits", "64"}}},
        {"qcow2", 2 * kMiB, {{"compat", "0.10"}}, 5 * kMiB, {{"compat", "1.1"}}},
        {"qcow2", 2 * kMiB, {{"cluster_size", "512"}}, 5 * kMiB, {{"compat", "0.10"}}},
        {"qcow2", 2 * kMiB, {{"refcount_bits", "1"}}, 5 * kMiB, {{"refcount_bits", "2"}}},
        {"qcow2", 2 * kMiB, {{"refcount_bits", "64"}}, 5 * kMiB, {{"refcount_bits", "8"}}},
        {"qcow2", 2 * kMiB, {{"preallocation", "metadata"}}, 5 * kMiB},
        {"qcow2", 2 * kMiB, {{"preallocation", "metadata"}, {"compat", "0.10"}}, 5 * kMiB},
        {"qcow2", 2 * kMiB, {{"preallocation", "falloc"}}, 5 * kMiB},
        {"qcow2", 2 * kMiB, {{"preallocation", "full"}}, 5 * kMiB},
        {"qcow2", 2 * kMiB, {{"extended_l2", "on"}, {"preallocation", "metadata"}}, 5 * kMiB},
        {"qcow2", 2 * kMiB, {{"data_file", "data"}}, 5 * kMiB},
        {"qcow2", 2 * kMiB, {{"data_file", "data"}, {"data_file_raw", "on"}}, 5 * kMiB},
        {"qcow2", 2 * kMiB, {{"data_file", "data"}, {"preallocation", "falloc"}}, 5 * kMiB},
        {"qcow2",
         2 * kMiB,
         {{"encrypt.format", "luks"}, {"encrypt.key-secret", "s"}, {"encrypt.iter-time", "1"}},
         5 * kMiB,
         {},
         false,
         luks_key},
        {"qcow", 2 * kMiB},
        {"qed", 2 * kMiB, {}, 5 * kMiB},
        {"qed", 2 * kMiB, {{"cluster_size", "4k"}, {"table_size", "1"}}, 5 * kMiB},
        {"vmdk", 2 * kMiB},
        {"vmdk", 2 * kMiB, {{"zeroed_grain", "on"}}},
        {"vmdk", 2 * kMiB, {{"subformat", "monolithicFlat"}}},
        {"vmdk", 2 * kMiB, {{"subformat", "twoGbMaxExtentSparse"}}},
        {"vdi", 2 * kMiB},
        {"vdi", 2 * kMiB, {{"static", "on"}}},
        {"vpc", 3 * kMiB, {{"force_size", "on"}}},
        {"vpc", 3 * kMiB, {{"force_size", "on"}, {"subformat", "fixed"}}},
        {"vhdx", 3 * kMiB, {{"block_size", "1M"}}},
        {"vhdx", 3 * kMiB, {{"block_size", "1M"}, {"block_state_zero", "off"}}},
        {"vhdx", 3 * kMiB, {{"block_size", "1M"}, {"subformat", "fixed"}}},
        {"parallels", 2 * kMiB, {{"cluster_size", "64k"}}},
        {"luks",
         2 * kMiB,
         {{"key-secret", "s"}, {"iter-time", "1"}},
         0,
         {{"new-secret", "t"}, {"state", "active"}, {"iter-time", "1"}},
         true,
         {{"key-secret", "s"}}},
    };
}

std::string describe(const Subject& subject)
{
    std::string text = subject.format;
    for (const auto& [name, value] : subject.settings) {
        text += " " + name + "=" + value;
    }
    return text;
}

void succeed(Status done)
{
    if (!done) {
        FAIL(done.error().message);
    }
}

/// An image, and what it names, on devices of their own.
class Bench {
public:
    explicit Bench(const Subject& subject) : subject_{subject}, driver_{find_format(subject.format)}
    {
        REQUIRE(driver_ != nullptr);
        secrets_.add("s", "old passphrase");
        secrets_.add("t", "new passphrase");
    }

    void make()
    {
        CreateSettings settings = subject_.settings;
        settings.emplace_back("size", std::to_string(subject_.size));
        CreateContext context{
            .make_sibling = opener(), .open_sibling = opener(), .secrets = &secrets_};
        succeed(create_in(*driver_, *need(opener()("")),
                          need(complete_settings(*driver_, settings)), context));
    }

    OpenContext context(OpenFor purpose = OpenFor::use)
    {
        return {.purpose = purpose,
                .open_sibling = opener(),
                .trust_data_files = true,
                .secrets = &secrets_,
                .options = subject_.keys};
    }

    std::unique_ptr<ChainDisk> open()
    {
        auto using_it = context();
        std::vector<Layer> layers;
        layers.push_back({.image = need(driver_->open(need(opener()("")), using_it)),
                          .path = "device",
                          .format = subject_.format});
        return std::make_unique<ChainDisk>(std::move(layers), false);
    }

    /// Check finds nothing at all, or there is none for such images.
    void is_sound()
    {
        auto checking = context(OpenFor::check);
        auto image = need(driver_->open(need(opener()("")), checking));
        std::string problems;
        auto report = image->check(Repair::none,
                                   [&](const std::string& problem) { problems += problem + "\n"; });
        INFO(problems);
        if (!report) {
            CHECK(report.error().code == base::Errc::unsupported);
            return;
        }
        CHECK(report.value().corruptions == 0);
        CHECK(report.value().leaks == 0);
        CHECK(report.value().check_errors == 0);
    }

    void amend()
    {
        auto amending = context();
        auto disk = open();
        Image& image = *disk->layers().front().image;
        const auto settings = need(complete_settings(driver_->amend_options, subject_.amend));
        succeed(image.amend(settings, amending, false));
        succeed(disk->flush());
    }

private:
    OpenSibling opener()
    {
        return [this](const std::string& name) -> Result<std::unique_ptr<ByteSource>> {
            auto& bytes = devices_[name];
            if (!bytes) {
                bytes = OldDevice::bytes_of(kDeviceSize);
            }
            return std::unique_ptr<ByteSource>{std::make_unique<OldDevice>(bytes)};
        };
    }

    const Subject& subject_;
    const FormatDriver* driver_;
    Secrets secrets_;
    std::map<std::string, std::shared_ptr<std::vector<u8>>> devices_;
};

void write_part(ChainDisk& disk, std::vector<u8>& mirror, u64 at, std::size_t length, u32 seed)
{
    const std::vector<u8> bytes = noise(length, seed);
    succeed(disk.write(at, bytes));
    std::ranges::copy(bytes, mirror.begin() + static_cast<std::ptrdiff_t>(at));
}

void holds(Bench& bench, const std::vector<u8>& mirror)
{
    const std::vector<u8> there = read_all(*bench.open());
    REQUIRE(there.size() >= mirror.size());
    const auto differ = std::ranges::mismatch(mirror, there);
    CHECK(differ.in1 - mirror.begin() == static_cast<std::ptrdiff_t>(mirror.size()));
    bench.is_sound();
}

} // namespace

TEST_CASE("fixed size: images of every format are made, written and changed where old bytes are")
{
    for (const Subject& subject : subjects()) {
        DYNAMIC_SECTION(describe(subject))
        {
            Bench bench{subject};
            bench.make();
            auto disk = bench.open();
            std::vector<u8> mirror = read_all(*disk);
            REQUIRE(mirror.size() >= subject.size);
            if (!subject.shows_old) {
                const std::vector<u8> zeroes(subject.size);
                CHECK(mirror == zeroes);
                CHECK(disk->layers().front().image->is_zero_when_new());
            } else {
                CHECK_FALSE(disk->layers().front().image->is_zero_when_new());
            }

            write_part(*disk, mirror, 0, 3000, 1);
            write_part(*disk, mirror, subject.size / 2 + 5, 70'000, 2);
            succeed(disk->flush());
            disk.reset();
            holds(bench, mirror);

            // What comes later goes behind what is there.
            disk = bench.open();
            write_part(*disk, mirror, subject.size - 9000, 9000, 3);
            disk.reset();
            holds(bench, mirror);

            if (subject.grown != 0) {
                disk = bench.open();
                succeed(disk->resize(subject.grown, Preallocate::none));
                disk.reset();
                mirror.resize(subject.grown);
                holds(bench, mirror);
                disk = bench.open();
                write_part(*disk, mirror, subject.grown - 200'000, 150'000, 4);
                disk.reset();
                holds(bench, mirror);
            }
            if (!subject.amend.empty()) {
                bench.amend();
                holds(bench, mirror);
            }
        }
    }
}

TEST_CASE("fixed size: new clusters of a disk that grows with preallocation are zero")
{
    for (const Preallocate how :
         {Preallocate::metadata, Preallocate::reserve, Preallocate::write}) {
        const Subject subject{.format = "qcow2", .size = 2 * kMiB};
        Bench bench{subject};
        bench.make();

        succeed(bench.open()->resize(4 * kMiB, how));

        holds(bench, std::vector<u8>(4 * kMiB));
    }
}

TEST_CASE("fixed size: what does not fit is refused")
{
    const Subject subject{
        .format = "qcow2", .size = kDeviceSize, .settings = {{"preallocation", "full"}}};
    const FormatDriver& driver = *find_format(subject.format);
    CreateSettings settings = subject.settings;
    settings.emplace_back("size", std::to_string(subject.size));
    OldDevice device{OldDevice::bytes_of(kDeviceSize)};
    CreateContext context;

    const auto made = create_in(driver, device, need(complete_settings(driver, settings)), context);

    CHECK(made.error().message == "No space left on device");
    // And what was there before is no image any more.
    std::vector<u8> start(512);
    REQUIRE(device.read(FileOffset{0}, start));
    CHECK(start == std::vector<u8>(512));
}
