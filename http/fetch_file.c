/* A file as the body of a request.
 *
 * Owns: a duplicate of the descriptor, and one piece that is read ahead. Reading may wait for a
 * disk, so it is done on a thread of the blocking pool; whoever gives the fetch up meanwhile need
 * not wait for it. Must not know: how a body is framed, or what else a fetch does: it is a
 * hs_fetch_source like a user's. Tested by: tests/unit/http_fetch_file.c. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "hs_blocking.h"

#define FILE_PIECE_BYTES (64u * 1024)

typedef struct fetch_file {
    hs_shard *shard;
    hs_fetch_sink *sink; /* NULL: nobody wants more */
    int fd;
    uint64_t start, length; /* what of the file is the body */
    uint64_t at, left;
    bool reading; /* a thread has the piece, and reads `at` and `left` */
    bool again;   /* ... which will be of a request that is over: from the start, then */
    bool over;
    hs_reaction reaction;
    size_t len; /* of the piece */
    uint8_t piece[FILE_PIECE_BYTES];
} fetch_file;

static void file_free(fetch_file *file)
{
    HS_ASSERT(file->over && !file->reading);
    close(file->fd);
    hs_mem_give(hs_shard_mem(file->shard), file, sizeof *file, 16);
}

/* On a thread of the pool. */
static hs_outcome read_piece(void *arg)
{
    fetch_file *file = arg;
    size_t want = (size_t)HS_MIN(file->left, (uint64_t)sizeof file->piece);
    ssize_t n;
    do {
        n = pread(file->fd, file->piece, want, (off_t)file->at);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return hs_error(hs_err_errno(errno));
    file->len = (size_t)n;
    return hs_value(NULL);
}

static void step(fetch_file *file);

static void go_to_start(fetch_file *file)
{
    HS_ASSERT(!file->reading);
    file->again = false;
    file->at = file->start;
    file->left = file->length;
}

/* The file cannot be read to its end. */
static void fail(fetch_file *file, hs_err err, const char *text)
{
    hs_fetch_sink *sink = file->sink;
    HS_ASSERT(sink && !hs_ok(err));
    sink->text = text;
    hs_fetch_end(sink, err); /* which may free the file */
}

static void on_read(hs_reaction *reaction, hs_outcome o)
{
    fetch_file *file = HS_CONTAINER_OF(reaction, fetch_file, reaction);
    HS_ASSERT(file->reading);
    file->reading = false;
    if (file->over) {
        file_free(file);
        return;
    }
    if (file->again) {
        go_to_start(file);
        if (file->sink)
            step(file);
        return;
    }
    if (!hs_ok(o.err)) {
        fail(file, o.err, "the file of the request's body cannot be read");
        return;
    }
    HS_ASSERT(file->len <= file->left);
    if (file->len == 0) {
        fail(file, hs_err_of(HS_E_TRUNCATED), "the file of the request's body became shorter");
        return;
    }
    hs_err err = hs_fetch_write(file->sink, hs_span_of(file->piece, file->len));
    if (err.code == HS_E_CLOSED)
        return; /* the connection is going: `over` follows */
    if (!hs_ok(err)) {
        fail(file, err, NULL);
        return;
    }
    file->at += file->len;
    file->left -= file->len;
    step(file);
}

static void step(fetch_file *file)
{
    HS_ASSERT(file->sink && !file->over);
    HS_ASSERT(!file->reading);
    if (file->left == 0) {
        hs_fetch_end(file->sink, HS_OK); /* which may free the file */
        return;
    }
    if (hs_fetch_full(file->sink))
        return;
    file->reading = true;
    hs_react(hs_blocking(file->shard, read_piece, file), &file->reaction, on_read);
}

static void file_more(hs_fetch_sink *sink, void *ctx)
{
    fetch_file *file = ctx;
    HS_ASSERT(!file->sink || file->sink == sink);
    file->sink = sink;
    if (!file->reading)
        step(file);
}

static void file_over(hs_err why, void *ctx)
{
    fetch_file *file = ctx;
    (void)why;
    HS_ASSERT(!file->over);
    file->over = true;
    file->sink = NULL;
    if (!file->reading)
        file_free(file);
}

void fetch_file_rewind(hs_fetch_sink *sink)
{
    fetch_file *file = sink->source.ctx;
    HS_ASSERT(sink->ours && !sink->calling);
    HS_ASSERT(!file->over);
    sink->asked = sink->full = false;
    file->sink = NULL;
    file->again = file->reading;
    if (!file->again)
        go_to_start(file);
}

/* How much there is of it to send. */
static hs_err measure(int fd, const hs_fetch_file *file, uint64_t *length, const char **text)
{
    struct stat st;
    *text = NULL;
    if (fstat(fd, &st) != 0)
        return hs_err_errno(errno);
    *text = "the file of the request's body is no regular file";
    HS_ENSURE(S_ISREG(st.st_mode), HS_E_USAGE);
    *text = "the request's body is no part of its file";
    HS_ENSURE(file->offset <= (uint64_t)st.st_size, HS_E_USAGE);
    uint64_t rest = (uint64_t)st.st_size - file->offset;
    *length = file->length == HS_FETCH_REST ? rest : file->length;
    HS_ENSURE(*length <= rest, HS_E_USAGE);
    return HS_OK;
}

hs_err fetch_file_open(fetch *f, const hs_fetch_file *file, const char **text)
{
    hs_shard *shard = f->client->shard;
    uint64_t length = 0;
    HS_ASSERT(!f->has_source && !f->sink.ours);
    HS_TRY(measure(file->fd, file, &length, text));
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return hs_err_errno(errno);
    fetch_file *own = hs_mem_take(hs_shard_mem(shard), sizeof *own, 16);
    if (!own) {
        close(fd);
        return hs_err_of(-ENOMEM);
    }
    own->shard = shard;
    own->sink = NULL;
    own->fd = fd;
    own->start = file->offset;
    own->length = length;
    own->reading = own->over = false;
    go_to_start(own);
    own->reaction = (hs_reaction){0};
    f->has_source = true;
    f->sink.ours = true;
    f->sink.source = (hs_fetch_source){length, file_more, file_over, own};
    return HS_OK;
}
