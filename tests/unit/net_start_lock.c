/* The lock that lets one start at a time have a port. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hs_tcp.h"

/* Ports that nothing listens on: the lock is a name, and binds none. */
#define PORT 7

Test(net_start_lock, one_has_it_at_a_time)
{
    int first, second, other;
    cr_assert(hs_ok(hs_start_lock(PORT, 0, &first)));
    cr_assert_eq(hs_start_lock(PORT, 0, &second).code, -EADDRINUSE);
    cr_assert_eq(second, -1);
    cr_assert(hs_ok(hs_start_lock(PORT + 1, 0, &other)));
    hs_start_unlock(first);
    cr_assert(hs_ok(hs_start_lock(PORT, 0, &second)));
    hs_start_unlock(second);
    hs_start_unlock(other);
    hs_start_unlock(-1);
}

Test(net_start_lock, it_waits_for_another_process_and_goes_with_it)
{
    int ready[2], lock;
    char byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int mine;
        _exit(hs_ok(hs_start_lock(PORT + 2, 0, &mine)) && write(ready[1], "", 1) == 1 ? 0 : 1);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert(hs_ok(hs_start_lock(PORT + 2, 600000, &lock)));
    hs_start_unlock(lock);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
}
