/* Faults that a test cannot have for real everywhere, put under a process with LD_PRELOAD: a full disk and a clock that
   jumps. Both are switched by files in the folder FAULTS: `full` (every write to a regular file fails with ENOSPC) and
   `clock` (seconds that the wall clock is off). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int is_there(const char *name, char *path, size_t size) {
    const char *folder = getenv("FAULTS");
    if (!folder) return 0;
    snprintf(path, size, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    struct stat what;
    char path[4096];
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (fstat(fd, &what) == 0 && S_ISREG(what.st_mode) && is_there("full", path, sizeof path)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, data, size);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    char path[4096];
    int done;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    done = real(clock, now);
    if (clock == CLOCK_REALTIME && is_there("clock", path, sizeof path)) {
        FILE *file = fopen(path, "r");
        long off = 0;
        if (file) {
            if (fscanf(file, "%ld", &off) != 1) off = 0;
            fclose(file);
        }
        now->tv_sec += off;
    }
    return done;
}
