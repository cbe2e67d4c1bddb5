/* Why io_uring cannot be used: see uring_why.h. */
#include "uring_why.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hs_assert.h"

bool uring_sysctl(const char *name, long *value)
{
    char path[64], text[16] = "";
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *value = 0;
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    text[HS_MAX(n, 0)] = '\0';
    (void)close(fd);
    *value = strtol(text, NULL, 10);
    return true;
}

bool uring_seccomp(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
}

static void say(uring_why *why, const char *call, int rc, const char *behind, const char *remedy)
{
    snprintf(why->cause, sizeof why->cause, "%s: %s%s", call, hs_err_name(hs_err_of(rc)), behind);
    snprintf(why->remedy, sizeof why->remedy, "%s", remedy);
}

/* Forbidden: by the switch, by a filter, or by a security module. */
static void explain_denied(uring_why *why, const char *call, int rc)
{
    long disabled;
    (void)uring_sysctl("io_uring_disabled", &disabled);
    if (disabled >= 2)
        say(why, call, rc, " (kernel.io_uring_disabled=2)", "sysctl kernel.io_uring_disabled=0");
    else if (disabled == 1)
        say(why, call, rc, " (kernel.io_uring_disabled=1)",
            "sysctl kernel.io_uring_disabled=0, or run in the group kernel.io_uring_group, or with "
            "CAP_SYS_ADMIN");
    else if (uring_seccomp())
        say(why, call, rc, " (a seccomp filter)",
            "a seccomp profile with io_uring_setup, io_uring_enter and io_uring_register");
    else
        say(why, call, rc, " (a security module)",
            "a policy that grants io_uring; the audit log names the rule");
}

void uring_explain(uring_why *why, const char *call, int rc)
{
    HS_ASSERT(rc < 0);
    switch (rc) {
    case -EPERM:
    case -EACCES:
        explain_denied(why, call, rc);
        break;
    case -ENOSYS:
        if (uring_seccomp())
            say(why, call, rc, " (a seccomp filter, or a kernel without io_uring)",
                "a seccomp profile with io_uring_setup, io_uring_enter and io_uring_register");
        else
            say(why, call, rc, " (a kernel without io_uring)", "Linux 6.1 or newer");
        break;
    case -EINVAL:
        say(why, call, rc, " (a kernel without the io_uring of Linux 6.1)", "Linux 6.1 or newer");
        break;
    case -ENOMEM:
        say(why, call, rc, "",
            "more memory, or more that may be locked (ulimit -l, LimitMEMLOCK= of the service)");
        break;
    case -EMFILE:
    case -ENFILE:
        say(why, call, rc, "", "more open files (ulimit -n, LimitNOFILE= of the service)");
        break;
    case -EOPNOTSUPP:
        say(why, call, rc, " (io_uring in HS_CAPS_DISABLE)", "take it out of HS_CAPS_DISABLE");
        break;
    default:
        say(why, call, rc, "", hs_err_text(hs_err_of(rc)));
        break;
    }
}
