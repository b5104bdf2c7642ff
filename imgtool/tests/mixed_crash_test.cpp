// Crash tests with mixed workloads, of all writable formats. CI makes about a thousand cuts; set
// MENAGERIE_CRASH_CUTS=10000 for as many as that, over all formats together, and
// MENAGERIE_CRASH_SEED for other work than usual.
#include "imgtool/formats/all.hpp"
#include "imgtool/ops/create.hpp"
#include "imgtool/secret.hpp"
#include "imgtool/tests/crash.hpp"
#include "imgtool/tests/support.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>

using namespace img;
using img::test::need;

namespace {

constexpr u64 kUsualCuts = 1000;

struct Subject {
    const char* format;
    CreateSettings settings;
    bool mended = false;    // as in test::CrashSubject
    u64 backing = 0;        // bytes of backing file; 0: none
    bool encrypted = false; // by the key "s"
};

CreateSettings with_size(const char* size, CreateSettings more = {})
{
    more.emplace_back("size", size);
    return more;
}

/// A format registers with a line here, for each kind of image that is written differently. Disks
/// are small, so that tables and clusters meet often.
std::vector<Subject> subjects()
{
    return {
        {"qcow2", with_size("700k", {{"cluster_size", "512"}, {"refcount_bits", "64"}})},
        {"qcow2", with_size("700k", {{"cluster_size", "16k"}, {"extended_l2", "on"}})},
        // Version 2 cannot be marked as dirty while a snapshot is taken.
        {"qcow2", with_size("700k", {{"cluster_size", "4k"}, {"compat", "0.10"}}), true},
        {"qcow2", with_size("300k", {{"cluster_size", "1k"}, {"preallocation", "metadata"}})},
        {"qcow2", with_size("700k", {{"cluster_size", "2k"}, {"lazy_refcounts", "on"}})},
        {"qcow2", with_size("700k", {{"cluster_size", "4k"}, {"compression_type", "zstd"}}), false,
         400'000},
        {"qcow2", with_size("700k", {{"cluster_size", "16k"}, {"extended_l2", "on"}}), false,
         900'000},
        {"qcow2", with_size("700k", {{"cluster_size", "1k"}, {"refcount_bits", "2"}})},
        {"qcow2", with_size("700k", {{"cluster_size", "4k"}, {"data_file", "data"}})},
        {"qcow2",
         with_size("700k",
                   {{"cluster_size", "4k"}, {"data_file", "data"}, {"data_file_raw", "on"}})},
        {"qcow2",
         with_size(
             "300k",
             {{"cluster_size", "4k"}, {"encrypt.format", "aes"}, {"encrypt.key-secret", "s"}}),
         false, 0, true},
        {"qcow", with_size("700k")},
        {"qcow", with_size("700k"), false, 500'000},
        {"qed", with_size("700k", {{"cluster_size", "4k"}, {"table_size", "1"}})},
        {"qed", with_size("700k", {{"cluster_size", "4k"}, {"table_size", "2"}}), false, 500'000},
        {"vmdk", with_size("3M")},
        {"vmdk", with_size("3M", {{"zeroed_grain", "on"}})},
        {"vmdk", with_size("3M", {{"subformat", "streamOptimized"}})},
        {"vmdk", with_size("3M", {{"subformat", "twoGbMaxExtentSparse"}})},
        {"vmdk", with_size("1M", {{"subformat", "monolithicFlat"}})},
        {"vdi", with_size("5M")},
        {"vdi", with_size("3M", {{"static", "on"}})},
        {"vpc", with_size("700k")},
        {"vpc", with_size("5M")},
        {"vpc", with_size("700k", {{"subformat", "fixed"}})},
        {"vhdx", with_size("4M", {{"block_size", "1M"}})},
        {"vhdx", with_size("4M", {{"block_size", "1M"}, {"block_state_zero", "off"}})},
        {"vhdx", with_size("3M", {{"block_size", "1M"}, {"subformat", "fixed"}})},
        // An image that was not closed is an error, as qemu-img's check has it.
        {"parallels", with_size("700k", {{"cluster_size", "4k"}}), true},
        {"parallels", with_size("3M"), true},
        {"raw", with_size("300k")},
    };
}

test::MemoryFiles new_image(const FormatDriver& format, const Subject& subject,
                            const Secrets& secrets)
{
    test::MemoryFiles files;
    CreateContext context{
        .make_sibling = files.opener(), .open_sibling = files.opener(), .secrets = &secrets};
    CreateSettings settings = subject.settings;
    if (subject.backing != 0) {
        settings.emplace_back("backing_file", "backing");
        settings.emplace_back("backing_fmt", "raw");
    }
    const auto made = format.create(*files.open(test::kImageFile),
                                    need(complete_settings(format, settings)), context);
    if (!made) {
        FAIL(made.error().message);
    }
    return files;
}

test::CrashSubject crash_subject(const FormatDriver& format, const Subject& subject,
                                 const Secrets& secrets)
{
    test::CrashSubject s{.driver = &format, .mended = subject.mended};
    s.context.secrets = &secrets;
    if (subject.encrypted) {
        s.context.options = {{"encrypt.key-secret", "s"}};
    }
    if (subject.backing != 0) {
        s.backing = test::noise(subject.backing & ~u64{511}, 9);
    }
    return s;
}

u64 number_from(const char* variable, u64 usual)
{
    const char* asked = std::getenv(variable);
    return asked != nullptr ? std::strtoull(asked, nullptr, 10) : usual;
}

std::string describe(const Subject& subject)
{
    std::string text = subject.format;
    for (const auto& [name, value] : subject.settings) {
        text += " " + name + "=" + value;
    }
    return text + (subject.backing != 0 ? " over another" : "");
}

/// Cuts runs of the work until there were `share` cuts. Returns how many there were.
u64 cut_runs(const Subject& subject, u64 share, u32 seed)
{
    const FormatDriver* format = find_format(subject.format);
    REQUIRE(format != nullptr);
    Secrets secrets;
    secrets.add("s", "abcdef");
    const test::MemoryFiles start = new_image(*format, subject, secrets);
    const test::CrashSubject crash = crash_subject(*format, subject, secrets);
    u64 cuts = 0;
    for (; cuts < share; ++seed) {
        INFO(describe(subject) << ", seed " << seed);
        const auto recording = test::record_mixed(crash, start, 60, seed);
        // About as many cuts of each kind.
        const std::size_t step = 1 + recording.log.size() * 2 / (share < 200 ? 30 : 200);
        cuts += static_cast<u64>(test::check_prefixes(recording, step));
        cuts += static_cast<u64>(test::check_losses(recording, seed));
    }
    return cuts;
}

} // namespace

TEST_CASE("mixed crash: whatever is done to an image, a cut leaves it sound with what was flushed",
          "[slow]")
{
    const std::vector<Subject> all = subjects();
    const u64 wanted = number_from("MENAGERIE_CRASH_CUTS", kUsualCuts);
    const auto seed = static_cast<u32>(number_from("MENAGERIE_CRASH_SEED", 1));
    const char* only = std::getenv("MENAGERIE_CRASH_ONLY"); // a part of what describe() says
    const u64 share = (wanted + all.size() - 1) / all.size();
    for (const Subject& subject : all) {
        if (only != nullptr && describe(subject).find(only) == std::string::npos) {
            continue;
        }
        DYNAMIC_SECTION(describe(subject))
        {
            const auto begin = std::chrono::steady_clock::now();
            const u64 cuts = cut_runs(subject, share, seed);
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
            CHECK(cuts >= share);
            if (wanted > kUsualCuts) {
                std::cout << describe(subject) << ": " << cuts << " cuts, " << took.count()
                          << " s\n";
            }
        }
    }
}
