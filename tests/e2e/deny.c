/* Runs a command under a seccomp filter that denies what it is told to.
 *
 *   deny io_uring_setup=EPERM[,io_uring_enter=ENOSYS...] COMMAND [ARGUMENT...]
 *
 * As a container runtime does it: the system calls named return the error named, all others are
 * allowed. Exits with 77 where this machine has no filters, with 2 for bad arguments. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#define RULES_MAX 8

static const struct {
    const char *name;
    unsigned number;
} calls[] = {
    {"io_uring_setup", SYS_io_uring_setup},
    {"io_uring_enter", SYS_io_uring_enter},
    {"io_uring_register", SYS_io_uring_register},
#ifdef SYS_access
    {"access", SYS_access},
#else
    {"access", SYS_faccessat},
#endif
    {"accept4", SYS_accept4},
    {"bind", SYS_bind},
    {"capget", SYS_capget},
    {"clone", SYS_clone},
    {"clone3", SYS_clone3},
    {"connect", SYS_connect},
    {"epoll_create1", SYS_epoll_create1},
    {"epoll_ctl", SYS_epoll_ctl},
    {"epoll_pwait", SYS_epoll_pwait},
#if defined(SYS_epoll_wait)
    {"epoll_wait", SYS_epoll_wait},
#endif
    {"eventfd2", SYS_eventfd2},
    {"fcntl", SYS_fcntl},
    {"getrandom", SYS_getrandom},
    {"getsockname", SYS_getsockname},
    {"getsockopt", SYS_getsockopt},
    {"listen", SYS_listen},
    {"madvise", SYS_madvise},
    {"mprotect", SYS_mprotect},
    {"newfstatat", SYS_newfstatat},
    {"openat", SYS_openat},
    {"pipe2", SYS_pipe2},
    {"prctl", SYS_prctl},
    {"prlimit64", SYS_prlimit64},
    {"recvfrom", SYS_recvfrom},
    {"recvmsg", SYS_recvmsg},
    {"rt_sigaction", SYS_rt_sigaction},
    {"rt_sigprocmask", SYS_rt_sigprocmask},
    {"rt_sigtimedwait", SYS_rt_sigtimedwait},
    {"sched_getaffinity", SYS_sched_getaffinity},
    {"sched_setaffinity", SYS_sched_setaffinity},
    {"sendmsg", SYS_sendmsg},
    {"sendto", SYS_sendto},
    {"setsockopt", SYS_setsockopt},
    {"shutdown", SYS_shutdown},
    {"sigaltstack", SYS_sigaltstack},
    {"socket", SYS_socket},
    {"socketpair", SYS_socketpair},
    {"sysinfo", SYS_sysinfo},
    {"tgkill", SYS_tgkill},
    {"timerfd_create", SYS_timerfd_create},
    {"timerfd_settime", SYS_timerfd_settime},
    {"uname", SYS_uname},
    {"writev", SYS_writev},
};

static const struct {
    const char *name;
    unsigned number;
} errors[] = {{"EPERM", EPERM},   {"ENOSYS", ENOSYS}, {"EACCES", EACCES},
              {"ENOENT", ENOENT}, {"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}};

typedef struct program {
    struct sock_filter at[4 + 2 * RULES_MAX];
    unsigned short len;
} program;

static void add(program *p, unsigned short code, unsigned k, unsigned char jt, unsigned char jf)
{
    p->at[p->len++] = (struct sock_filter){code, jt, jf, k};
}

/* One rule, "call=error". Returns how much of `text` it was, or 0. */
static size_t add_rule(program *p, const char *text)
{
    size_t len = strcspn(text, ","), name = strcspn(text, "=");
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++) {
        if (name != strlen(calls[c].name) || strncmp(text, calls[c].name, name) != 0)
            continue;
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
            if (len != name + 1 + strlen(errors[e].name) ||
                strncmp(text + name + 1, errors[e].name, len - name - 1) != 0)
                continue;
            add(p, BPF_JMP | BPF_JEQ | BPF_K, calls[c].number, 0, 1);
            add(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errors[e].number, 0, 0);
            return len;
        }
    }
    return 0;
}

/* Another architecture's numbers mean other calls: they are let through. */
static int make(program *p, const char *rules)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    add(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    add(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    for (int n = 0; *rules; n++) {
        size_t len = n < RULES_MAX - 1 ? add_rule(p, rules) : 0;
        if (len == 0)
            return -1;
        rules += len + (rules[len] == ',');
    }
    add(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    return 0;
}

int main(int argc, char **argv)
{
    program p = {.len = 0};
    if (argc < 3 || make(&p, argv[1]) != 0) {
        fprintf(stderr, "usage: deny CALL=ERROR[,CALL=ERROR...] COMMAND [ARGUMENT...]\n");
        return 2;
    }
    struct sock_fprog filter = {.len = p.len, .filter = p.at};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        printf("SKIP: no seccomp filters here: %s\n", strerror(errno));
        return 77;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 2;
}
