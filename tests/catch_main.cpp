// The one translation unit that holds Catch2's main.
#define CATCH_CONFIG_RUNNER
#include "tests/skip.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>

namespace {

constexpr int kSkipped = 77; // ctest's SKIP_RETURN_CODE in cmake/modules.cmake
constexpr int kNothingRan = 2;
constexpr int kMostFailures = 70; // so that no number of failures looks like kSkipped

/// What happened in this process. Catch2 makes listeners itself, so their counts must be somewhere.
struct Tally {
    unsigned ran = 0;
    unsigned skipped = 0;
    bool skipping = false; // the case that runs
};

Tally& tally()
{
    static Tally the_tally;
    return the_tally;
}

class SkipListener : public Catch::TestEventListenerBase {
public:
    using TestEventListenerBase::TestEventListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& info) override
    {
        TestEventListenerBase::testCaseStarting(info);
        tally().skipping = false;
    }
    void testCaseEnded(const Catch::TestCaseStats& stats) override
    {
        TestEventListenerBase::testCaseEnded(stats);
        ++tally().ran;
        tally().skipped += tally().skipping ? 1 : 0;
    }
};

CATCH_REGISTER_LISTENER(SkipListener)

} // namespace

void suite::skip(const std::string& why)
{
    tally().skipping = true;
    std::cout << "skipped: " << why << std::endl;
}

int main(int argc, char** argv)
{
    // Tests find the programs and the tree by these; a program run by hand takes its own build's.
    ::setenv("MENAGERIE_BIN", MENAGERIE_BUILT_BIN, 0);
    ::setenv("MENAGERIE_SOURCE", MENAGERIE_SOURCE_DIR, 0);

    Catch::Session session;
    if (const int wrong = session.applyCommandLine(argc, argv)) {
        return wrong;
    }
    const Catch::ConfigData& asked = session.configData();
    const bool lists = asked.listTests || asked.listTags || asked.listTestNamesOnly ||
                       asked.listReporters || asked.showHelp;
    const int failures = session.run();
    if (lists) {
        return failures; // of a list, the number of its entries
    }
    if (failures != 0) {
        return std::min(failures, kMostFailures);
    }
    if (tally().ran == 0) {
        std::cout << "no test case of that name\n";
        return kNothingRan;
    }
    return tally().skipped == tally().ran ? kSkipped : 0;
}
