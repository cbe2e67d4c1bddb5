/* Ending those that hold most of the shard's memory, where it runs short.
 *
 * Owns: which connections end. Must not know: how short it is (shard/chunk_share.c).
 * Tested by: tests/unit/http_memory.c. */
#include "session.h"

/* What a connection holds: answers that were not sent, input that waits, and the request's memory.
 */
static size_t held_by(const h1_conn *c)
{
    size_t bytes = hs_stream_unsent(c->stream);
    if (c->session)
        bytes += c->session->stash.len + c->session->arena.bytes_used;
    return bytes;
}

/* By powers of two, so that one walk finds from where on to end them. */
#define SIZES 64

static uint32_t size_of(size_t bytes)
{
    return 63 - (uint32_t)__builtin_clzll(bytes | 1);
}

/* Those of this size and above hold `bytes`, or all but the smallest do. */
static uint32_t size_from(const hs_http_server *server, size_t bytes)
{
    size_t sums[SIZES] = {0}, sum = 0;
    uint32_t size = SIZES - 1;
    hs_list_each (node, &server->conns_all) {
        const h1_conn *c = HS_CONTAINER_OF(node, h1_conn, link);
        size_t held = held_by(c);
        if (!c->evicted)
            sums[size_of(held)] += held;
    }
    while (size > size_of(HS_CHUNK_BYTES) && (sum += sums[size]) < bytes)
        size--;
    return size;
}

static void report(hs_http_server *server, uint32_t count, size_t bytes, size_t largest,
                   const char *label)
{
    hs_log_write(
        hs_shard_log(server->shard), HS_LOG_WARN,
        "memory is short: ended %u connections that held %zu KiB, the largest %zu KiB (%s)", count,
        bytes / 1024, largest / 1024, label ? label : "no request");
}

static size_t evict(hs_http_server *server, size_t wanted)
{
    uint32_t from = size_from(server, wanted), count = 0;
    size_t bytes = 0, largest = 0;
    const char *label = NULL;
    hs_list_each (node, &server->conns_all) {
        h1_conn *c = HS_CONTAINER_OF(node, h1_conn, link);
        size_t held = held_by(c);
        if (bytes >= wanted)
            break;
        if (c->evicted || size_of(held) < from)
            continue;
        if (held > largest) {
            largest = held;
            label = c->session ? c->session->req.label : NULL;
        }
        bytes += held;
        count++;
        c->evicted = true;
        conn_abort(c);
    }
    hs_count(hs_shard_counters(server->shard), server->count_evicted, count);
    if (count > 0)
        report(server, count, bytes, largest, label);
    return bytes;
}

size_t evict_release(hs_chunk_holder *holder, size_t bytes)
{
    return evict(HS_CONTAINER_OF(holder, hs_http_server, holder), bytes);
}
