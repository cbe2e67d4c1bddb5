/* Proves that liburing's headers and library are of one version and work on this kernel.
 * Owns: one ring of two entries. Run by deploy/setup: prints "MAJOR.MINOR", and on the error stream
 * what the kernel says to a ring; that the kernel denies rings is no failure of the library. */
#include <liburing.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct io_uring ring;

    if (io_uring_major_version() != IO_URING_VERSION_MAJOR ||
        io_uring_minor_version() != IO_URING_VERSION_MINOR) {
        fprintf(stderr, "header %d.%d, library %d.%d\n", IO_URING_VERSION_MAJOR,
                IO_URING_VERSION_MINOR, io_uring_major_version(), io_uring_minor_version());
        return 1;
    }
    printf("%d.%d\n", io_uring_major_version(), io_uring_minor_version());
    int err = io_uring_queue_init(2, &ring, 0);
    if (err) {
        fprintf(stderr, "io_uring_setup: %s\n", strerror(-err));
        return 0;
    }
    io_uring_queue_exit(&ring);
    return 0;
}
