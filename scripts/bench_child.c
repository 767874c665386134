/* What the bench has supervised: does one thing and says in FILE when it began (monotonic nanoseconds) and as whom.
   wait FILE | deaf FILE (ignores SIGTERM) | burst FILE MEGABYTES (100-byte numbered lines, then waits) */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void note(const char *file, const char *what) {
    char line[128];
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int size = snprintf(line, sizeof line, "%s %d %lld\n", what, getpid(), now());
    if (write(fd, line, size) != size) exit(9);
    close(fd);
}

int main(int count, char **words) {
    if (count < 3) return 2;
    if (!strcmp(words[1], "deaf")) signal(SIGTERM, SIG_IGN);
    note(words[2], "began");
    if (!strcmp(words[1], "burst")) {
        static char block[65600];
        long lines = atol(words[3]) * 10000, done = 0;
        while (done < lines) {
            int size = 0;
            for (int n = 0; n < 650 && done < lines; n++, done++) {
                size += sprintf(block + size, "%09ld ", done);
                memset(block + size, 'x', 89);
                size += 89;
                block[size++] = '\n';
            }
            for (int sent = 0; sent < size;) {
                int one = write(1, block + sent, size - sent);
                if (one < 0) return 3;
                sent += one;
            }
        }
        note(words[2], "wrote");
    }
    for (;;) pause();
}
