// How far a long command is, and whether its user wants it to end.
#pragma once

namespace img::cli {

/// The line that -p shows. Without -p it is shown once for each SIGUSR1, on the standard error
/// stream.
class Progress {
public:
    /// `least`: percent between two showings.
    explicit Progress(bool shown, double least = 1);
    ~Progress(); // ends the line
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    bool shown() const { return shown_; }
    void show(double percent);
    /// The same from counts; false once the user interrupted the command.
    bool step(unsigned long long done, unsigned long long total);

private:
    bool shown_;
    double least_; // percent
    double percent_ = 0;
    double printed_ = 0;
};

/// From now on SIGINT, SIGTERM and SIGHUP only make interrupted() true, so that files can be left
/// whole. Those that are ignored stay so.
void catch_interrupts();
bool interrupted();
/// To be returned from a command that catches: ends the program by the signal that interrupted it.
int finish(int code);

} // namespace img::cli
