/* The stall detector on real threads: whoever holds a shard is named, with its route, its shard,
 * how long and a stack, whether it burns the processor or sleeps; and nobody else is.
 *
 * A plain program, so that it runs under ThreadSanitizer too. Main gives a shard work through an
 * eventfd, and reads the log from a pipe. How long things take is never asserted from above, as a
 * loaded machine takes longer; and where the watchdog itself got no processor for so long that it
 * saw nothing, a longer stall is tried. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "hs_group.h"
#include "tsan.h"

#define SHARDS 2
#ifdef HS_TSAN
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif

typedef void work_fn(hs_shard *s);

/* Shard 1 does what main asks for. */
static struct {
    int asked; /* eventfd */
    hs_op op;
    bool ending;
    work_fn *work; /* of main until it asks, then of the shard until it is done */
    const char *label;
    uint64_t hold_ms; /* how long the work takes */
    atomic_uint done;
    atomic_bool enough; /* for work that waits for main */
    hs_group *group;
    int log[2];
    char text[1 << 20]; /* what the log said */
    size_t text_len, at;
} rig;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    CHECK(clock_gettime(clock, &ts) == 0);
    return (uint64_t)ts.tv_sec * HS_SEC_NS + (uint64_t)ts.tv_nsec;
}

/* ---- on the shard ---- */

static void asked(hs_op *op, const hs_io_event *ev)
{
    hs_shard *s = hs_shard_self();
    uint64_t n;
    if (ev->res < 0 || rig.ending) {
        hs_shard_release(s);
        return;
    }
    CHECK(read(rig.asked, &n, sizeof n) == (ssize_t)sizeof n && n == 1);
    const char *label = hs_shard_label_set(s, rig.label);
    rig.work(s);
    (void)hs_shard_label_set(s, label);
    hs_io_poll(hs_shard_io(s), op, rig.asked, POLLIN, asked);
    atomic_fetch_add(&rig.done, 1);
}

static hs_err start(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) != 1)
        return HS_OK;
    hs_shard_hold(s);
    hs_io_poll(hs_shard_io(s), &rig.op, rig.asked, POLLIN, asked);
    return HS_OK;
}

static void stop(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) != 1)
        return;
    rig.ending = true;
    hs_io_cancel(hs_shard_io(s), &rig.op);
}

__attribute__((noinline)) static void burn_here(uint64_t ms)
{
    uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ms * HS_MSEC_NS;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        continue;
}

/* As a handler does that waits for a disk or a lock. The look at its stack interrupts the call. */
__attribute__((noinline)) static void sleep_here(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000),
                            .tv_nsec = (long)(ms % 1000 * HS_MSEC_NS)};
    while (nanosleep(&left, &left) != 0)
        CHECK(errno == EINTR);
}

static void burn_long(hs_shard *s)
{
    (void)s;
    burn_here(rig.hold_ms);
    errno = 0;
}

static void sleep_long(hs_shard *s)
{
    (void)s;
    sleep_here(rig.hold_ms);
    errno = 0;
}

/* A read that the kernel takes up again after the signal. */
static void read_long(hs_shard *s)
{
    int fds[2];
    char byte;
    (void)s;
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        sleep_here(rig.hold_ms);
        _exit(write(fds[1], "x", 1) == 1 ? 0 : 1);
    }
    CHECK(read(fds[0], &byte, 1) == 1);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
}

static void until_enough(hs_shard *s)
{
    (void)s;
    while (!atomic_load(&rig.enough))
        sleep_here(1);
}

/* ---- main ---- */

static void open_rig(uint32_t stall_ms)
{
    hs_group_options o;
    memset(&rig, 0, sizeof rig);
    rig.asked = eventfd(0, EFD_CLOEXEC);
    CHECK(rig.asked >= 0);
    CHECK(pipe2(rig.log, O_CLOEXEC) == 0);
    rig.hold_ms = 100;
    hs_group_options_init(&o);
    CHECK(o.stall_ms == 10);
    o.shards = SHARDS;
    o.pin_off = true;
    o.stall_ms = stall_ms;
    o.log_fd = rig.log[1];
    o.start = start;
    o.stop = stop;
    CHECK(hs_ok(hs_group_start(&o, &rig.group)));
}

/* Stop, and read the rest of the log. */
static void close_rig(void)
{
    hs_group_stop(rig.group);
    hs_group_join(rig.group);
    CHECK(close(rig.log[1]) == 0);
    for (ssize_t n; (n = read(rig.log[0], rig.text + rig.text_len,
                              sizeof rig.text - 1 - rig.text_len)) != 0;) {
        CHECK(n > 0);
        rig.text_len += (size_t)n;
    }
    CHECK(close(rig.log[0]) == 0 && close(rig.asked) == 0);
}

static void ask(work_fn *work, const char *label)
{
    uint64_t one = 1;
    rig.work = work;
    rig.label = label;
    CHECK(write(rig.asked, &one, sizeof one) == (ssize_t)sizeof one);
}

static void wait_done(uint32_t n)
{
    struct timespec tick = {.tv_nsec = (long)HS_MSEC_NS};
    while (atomic_load(&rig.done) < n)
        (void)nanosleep(&tick, NULL);
}

/* Read the log until a line has `word`, which it returns; NULL: for `ms` there was no more (-1:
 * wait for ever). */
static const char *wait_line_for(const char *word, int ms)
{
    for (;;) {
        char *newline = memchr(rig.text + rig.at, '\n', rig.text_len - rig.at);
        if (newline) {
            const char *line = rig.text + rig.at;
            *newline = '\0';
            rig.at = (size_t)(newline + 1 - rig.text);
            if (strstr(line, word))
                return line;
            continue;
        }
        struct pollfd p = {.fd = rig.log[0], .events = POLLIN};
        int ready = poll(&p, 1, ms);
        CHECK(ready >= 0 || errno == EINTR);
        if (ready == 0)
            return NULL;
        if (ready < 0)
            continue;
        ssize_t n = read(rig.log[0], rig.text + rig.text_len, sizeof rig.text - 1 - rig.text_len);
        CHECK(n > 0);
        rig.text_len += (size_t)n;
    }
}

static const char *wait_line(const char *word)
{
    return wait_line_for(word, -1);
}

/* The number after `word` in `line`. */
static uint64_t number_after(const char *line, const char *word)
{
    const char *at = strstr(line, word);
    CHECK(at != NULL);
    return strtoull(at + strlen(word), NULL, 10);
}

static uint64_t counted(const char *name)
{
    return hs_counters_find(hs_shard_counters(hs_group_shard(rig.group, 1)), name);
}

/* Hold the shard, and find a line that says so and has `stack` in it. A watchdog that got no
 * processor saw nothing, or not all of it, or not whose it was: then for longer, and not within the
 * second in which a label has no other line. */
static void expect_line(work_fn *work, const char *label, const char *stack)
{
    char words[64];
    snprintf(words, sizeof words, "warn shard=1 stall: %s held its shard for ", label);
    for (rig.hold_ms = 100; rig.hold_ms < 30000; rig.hold_ms *= 2) {
        uint32_t done = atomic_load(&rig.done);
        ask(work, label);
        wait_done(done + 1);
        const char *line = wait_line_for(words, 2000);
        if (line && strstr(line, stack) && strstr(line, "(limit 10 ms)") &&
            number_after(line, words) >= 10)
            return;
        fprintf(stderr, "%s, %s, %" PRIu64 " ms: %s\n", label, stack, rig.hold_ms,
                line ? line : "not seen");
        sleep_here(1100);
    }
    exit(1);
}

/* ---- what is promised ---- */

static void who_holds_a_shard_is_named(void)
{
    open_rig(10);
    (void)wait_line("io=");
    expect_line(burn_long, "/burn", "burn_here+0x");
    expect_line(sleep_long, "/sleep/*", "sleep_here+0x");
    expect_line(read_long, "/read", "read_long+0x");
    CHECK(counted("stalls") >= 3);
    CHECK(counted("stall_ms") >= 3 * 10);
    close_rig();
}

/* The status of the thread called hs-stall; false: none has that name yet. */
static bool watchdog_status(char *text, size_t text_bytes)
{
    char path[300];
    bool found = false;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task; !found && (task = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, text_bytes - 1);
        if (fd >= 0)
            close(fd);
        if (n <= 0)
            continue; /* "." and "..", and threads that have ended */
        text[n] = '\0';
        found = strstr(text, "hs-stall") != NULL;
    }
    closedir(tasks);
    return found;
}

/* Each look of the watchdog is a switch; a server that does nothing must have none. */
static uint64_t switches_of_watchdog(void)
{
    char text[4096];
    while (!watchdog_status(text, sizeof text))
        (void)sched_yield(); /* a new thread names itself when it first runs */
    return number_after(text, "\nvoluntary_ctxt_switches:");
}

static void an_idle_group_wakes_nobody_and_is_watched_again(void)
{
    struct timespec second = {.tv_sec = 1};
    open_rig(10);
    uint64_t before, after = switches_of_watchdog();
    do {
        before = after;
        (void)nanosleep(&second, NULL);
        after = switches_of_watchdog();
    } while (after != before);
    (void)wait_line("io=");
    expect_line(sleep_long, "/late", "sleep_here+0x");
    close_rig();
}

static void one_that_does_not_end_is_named_before(void)
{
    open_rig(10);
    ask(until_enough, "/hang");
    const char *line = wait_line("still holds its shard");
    CHECK(strstr(line, "warn shard=1 stall: /hang ") && strstr(line, "until_enough+0x"));
    atomic_store(&rig.enough, true);
    wait_done(1);
    close_rig();
    CHECK(strstr(rig.text + rig.at, "/hang held its shard"));
}

static void burn_short(hs_shard *s)
{
    (void)s;
    burn_here(25);
}

/* Lines are rare, and still each stall is in one of them. One whose end comes just as it is asked
 * for its stack has no route. */
static void many_stalls_make_few_lines(void)
{
    uint64_t begun = clock_ns(CLOCK_MONOTONIC), told = 0, lines = 0;
    uint32_t stalls = 0;
    open_rig(5);
    do { /* again if the watchdog was held up for all of that */
        for (int i = 0; i < 40; i++) {
            ask(burn_short, "/often");
            wait_done(++stalls);
        }
    } while (counted("stalls") == 0 && stalls < 1000);
    /* The watchdog may still be about to count the last ones. */
    uint64_t before = counted("stalls");
    close_rig();
    uint64_t seconds = (clock_ns(CLOCK_MONOTONIC) - begun) / HS_SEC_NS + 1;
    for (char *at = rig.text; (at = strstr(at, " held its shard")) != NULL; at++) {
        char *end = strchr(at, '\n');
        CHECK(end != NULL);
        *end = '\0';
        if (strstr(at, " more times"))
            told += number_after(at, "its shard ");
        else
            told += 1 + (strstr(at, "(and ") ? number_after(at, "(and ") : 0);
        lines++;
        at = end;
    }
    fprintf(stderr, "%" PRIu64 " of %u stalls seen, %" PRIu64 " told in %" PRIu64 " lines\n",
            before, stalls, told, lines);
    CHECK(before > 0);
    CHECK(told >= before);
    CHECK(lines <= 2 * (seconds + 2));
}

static void switched_off_there_is_no_line(void)
{
    open_rig(0);
    ask(burn_long, "/burn");
    wait_done(1);
    CHECK(counted("stalls") == 0);
    close_rig();
    CHECK(!strstr(rig.text, "stall"));
}

/* Short callbacks, without end and on both shards: whatever the machine does to the threads, the
 * callbacks are not to blame. */
#define FAST_CALLS 30000

typedef struct fast {
    hs_call_op call;
    uint32_t left;
} fast;

static fast fast_state;

static void fast_there(hs_call_op *call)
{
    (void)call;
}

static void fast_back(hs_call_op *call)
{
    if (--fast_state.left == 0)
        return;
    CHECK(hs_ok(hs_call_op_start(hs_shard_peer(hs_shard_self(), 0), call)));
}

static void fast_begin(hs_shard *s)
{
    fast_state = (fast){.call = {.fn = fast_there, .done = fast_back}, .left = FAST_CALLS};
    CHECK(hs_ok(hs_call_op_start(hs_shard_peer(s, 0), &fast_state.call)));
}

/* ThreadSanitizer stops the threads for its own sake, for as long as it likes. And one of a guest's
 * processors that its host stops, while the watchdog's goes on, looks as if it computed: a look
 * that has something like that in it is taken again. */
static void fast_callbacks_are_never_blamed(void)
{
    for (int looks = 0; looks < 5; looks++) {
        open_rig(10);
        ask(fast_begin, "/fast");
        wait_done(1);
        close_rig();
        if (UNDER_TSAN || !strstr(rig.text, "stall:"))
            return;
        fprintf(stderr, "%s", rig.text);
    }
    exit(1);
}

static void own_handler(int number)
{
    (void)number;
}

static void a_signal_that_is_taken_stays_so(void)
{
    struct sigaction own = {.sa_handler = own_handler}, before, now;
    CHECK(sigaction(SIGURG, &own, &before) == 0);
    open_rig(10);
    (void)wait_line("without their stack");
    expect_line(burn_long, "/burn", "stack: not known");
    close_rig();
    CHECK(sigaction(SIGURG, &before, &now) == 0);
    CHECK(now.sa_handler == own_handler);
}

static void groups_come_and_go(void)
{
    struct sigaction before, after;
    CHECK(sigaction(SIGURG, NULL, &before) == 0);
    for (int i = 0; i < 12; i++) {
        open_rig(1);
        if (i % 3) {
            ask(i % 3 == 1 ? burn_short : fast_begin, "/short");
            if (i % 2)
                wait_done(1);
        }
        close_rig();
    }
    CHECK(sigaction(SIGURG, NULL, &after) == 0);
    CHECK(after.sa_handler == before.sa_handler);
}

int main(void)
{
    who_holds_a_shard_is_named();
    an_idle_group_wakes_nobody_and_is_watched_again();
    one_that_does_not_end_is_named_before();
    many_stalls_make_few_lines();
    switched_off_there_is_no_line();
    fast_callbacks_are_never_blamed();
    a_signal_that_is_taken_stays_so();
    groups_come_and_go();
    return 0;
}
