// Crash tests with mixed workloads, of all writable formats. CI makes a few hundred cuts; set
// MENAGERIE_CRASH_CUTS=10000 for as many as that, over all formats together.
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/source/memory_source.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

#include <array>
#include <cstdlib>

using namespace img;
using img::test::need;

namespace {

constexpr u64 kUsualCuts = 400;

struct Subject {
    const char* format;
    CreateSettings settings;
    bool mended = false; // as in test::Recording
};

/// A format registers with a line here, for each kind of image that is written differently. Disks
/// are small, so that tables and clusters meet often.
const std::array kSubjects{
    Subject{"qcow2", {{"size", "700k"}, {"cluster_size", "512"}, {"refcount_bits", "64"}}},
    Subject{"qcow2", {{"size", "700k"}, {"cluster_size", "16k"}, {"extended_l2", "on"}}},
    // Version 2 cannot be marked as dirty while a snapshot is taken.
    Subject{"qcow2", {{"size", "700k"}, {"cluster_size", "4k"}, {"compat", "0.10"}}, true},
    Subject{"qcow2", {{"size", "300k"}, {"cluster_size", "1k"}, {"preallocation", "metadata"}}},
    Subject{"qcow", {{"size", "700k"}}},
    Subject{"vpc", {{"size", "700k"}}},
};

std::vector<u8> new_image(const FormatDriver& format, const CreateSettings& settings)
{
    auto bytes = std::make_shared<std::vector<u8>>();
    MemorySource file{bytes};
    CreateContext context;
    const auto made = format.create(file, need(complete_settings(format, settings)), context);
    if (!made) {
        FAIL(made.error().message);
    }
    return *bytes;
}

u64 wanted_cuts()
{
    const char* asked = std::getenv("MENAGERIE_CRASH_CUTS");
    return asked != nullptr ? std::strtoull(asked, nullptr, 10) : kUsualCuts;
}

} // namespace

TEST_CASE("mixed crash: whatever is done to an image, a cut leaves it sound with what was flushed")
{
    const u64 share = (wanted_cuts() + kSubjects.size() - 1) / kSubjects.size();
    for (const Subject& subject : kSubjects) {
        const FormatDriver* format = find_format(subject.format);
        REQUIRE(format != nullptr);
        const std::vector<u8> start = new_image(*format, subject.settings);
        u64 cuts = 0;
        for (u32 seed = 1; cuts < share; ++seed) {
            INFO(subject.format << ", seed " << seed);
            auto recording = test::record_mixed(*format, start, 60, seed);
            recording.mended = subject.mended;
            // About as many cuts of each kind.
            const std::size_t step = 1 + recording.log.size() * 2 / (share < 200 ? 30 : 200);
            cuts += static_cast<u64>(test::check_prefixes(recording, step));
            cuts += static_cast<u64>(test::check_losses(recording, seed));
        }
        CHECK(cuts >= share);
    }
}
