// Runs a program so many times and prints what a run took, as the kernel counted it:
//   spawn RUNS PROGRAM [ARGUMENT]...   ->   user_s system_s wall_s peak_rss_kib exit_status
// (means over the runs; the peak and the exit status are the largest). A small program of its own,
// because what a large one like Python forks has its parent's peak memory at first.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char** argv)
{
    if (argc < 3) {
        return 2;
    }
    const int runs = atoi(argv[1]);
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    double user = 0, system = 0, wall = 0;
    long peak = 0;
    int worst = 0;
    for (int i = 0; i < runs; ++i) {
        pid_t child;
        const double begin = now();
        if (posix_spawnp(&child, argv[2], &quiet, NULL, argv + 2, environ) != 0) {
            return 2;
        }
        int status;
        struct rusage used;
        wait4(child, &status, 0, &used);
        wall += now() - begin;
        user += seconds(used.ru_utime);
        system += seconds(used.ru_stime);
        peak = used.ru_maxrss > peak ? used.ru_maxrss : peak;
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        worst = code > worst ? code : worst;
    }
    printf("%.6f %.6f %.6f %ld %d\n", user / runs, system / runs, wall / runs, peak, worst);
    return 0;
}
