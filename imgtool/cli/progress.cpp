#include "imgtool/cli/progress.hpp"

#include "base/output.hpp"
#include "base/process.hpp"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <initializer_list>

namespace img::cli {

namespace {

// The only things that a signal handler can reach.
volatile std::sig_atomic_t interrupted_by = 0;
volatile std::sig_atomic_t report_wanted = 0;

void on_interrupt(int signal)
{
    interrupted_by = signal;
}

void on_question(int)
{
    report_wanted = 1;
}

} // namespace

Progress::Progress(bool shown, double least) : shown_{shown}, least_{least}
{
    base::on_signal(SIGUSR1, on_question);
    if (shown_) {
        base::note("    (0.00/100%)\r");
    }
}

Progress::~Progress()
{
    if (shown_) {
        base::note("\n");
    }
}

void Progress::show(double percent)
{
    percent_ = percent;
    if (report_wanted != 0) {
        report_wanted = 0;
        std::fprintf(stderr, "    (%3.2f/100%%)\n", percent_);
    }
    if (shown_ && (percent_ > printed_ + least_ || percent_ < printed_ || percent_ >= 100)) {
        printed_ = percent_;
        base::note(fmt::format("    ({:.2f}/100%)\r", percent_));
    }
}

bool Progress::step(unsigned long long done, unsigned long long total)
{
    show(total == 0 ? 100.0 : static_cast<double>(done) * 100.0 / static_cast<double>(total));
    return !interrupted();
}

void catch_interrupts()
{
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        base::on_signal(signal, on_interrupt);
    }
}

bool interrupted()
{
    return interrupted_by != 0;
}

int finish(int code)
{
    if (interrupted_by != 0) {
        std::signal(interrupted_by, SIG_DFL);
        std::raise(interrupted_by);
    }
    return code;
}

} // namespace img::cli
