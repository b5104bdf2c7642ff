// What a program settles about its process before anything else, whoever started it and how.
#pragma once

#include <csignal>

namespace base {

/// To be called first in main(), before a library can open a file.
///
/// Descriptors 0 to 2 that are closed (daemons and ssh start programs so) would be given to the
/// next files, and messages be written into an image: they are opened on what reads as empty and
/// takes no writing. Writing to a pipe without a reader, or past the limit for file sizes, is an
/// error of that write (EPIPE, EFBIG), not the end of the process; programs that we start have
/// these signals as we found them.
void secure_process();

/// Calls `handler` at `signal`, unless whoever started us wants it ignored (nohup, background jobs
/// of scripts): then it stays so.
void on_signal(int signal, void (*handler)(int));

/// The signals that ask a program to end (SIGINT, SIGTERM, SIGHUP) but those that are ignored: a
/// blocked signal reaches a signalfd even when it is.
sigset_t ending_signals();

} // namespace base
