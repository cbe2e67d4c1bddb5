/* Streams: ordered bytes both ways, whatever carries them.
 *
 * Owns: the interface between what carries bytes (TCP here, TLS on top of it in tls/) and what
 * gives them meaning (http/). Must not know: either. Tested by: tests/unit/net_tcp.c and all above
 * it.
 *
 * A stream's life: it hears `data` until `end` (the peer sends no more); it may send until it said
 * hs_stream_close; `closed` comes last, exactly once, and then the stream's memory is gone.
 * Rules: a handler may call anything on its own stream, hs_stream_close and _abort included;
 * neither calls back from inside. Everything belongs to the owner shard. */
#pragma once

#include "hs_chain.h"
#include "hs_limits.h"
#include "hs_shard.h"

HS_BEGIN_DECLS

typedef struct hs_stream hs_stream;
struct hs_secure_info;

/* What the user of a stream hears. */
typedef struct hs_stream_events {
    /* Bytes arrived, in order; borrowed until the return. All of them are taken: a user that cannot
     * go on keeps a copy and calls hs_stream_pause. */
    void (*data)(hs_stream *s, hs_span bytes);
    /* The peer sends no more. It may still read. */
    void (*end)(hs_stream *s);
    /* The send queue fell below hs_stream_low after hs_stream_full was true, or is empty. */
    void (*drained)(hs_stream *s);
    /* The stream is gone; `why` is no error after a clean close. The last call. */
    void (*closed)(hs_stream *s, hs_err why);
} hs_stream_events;

/* What carries a stream provides. */
typedef struct hs_stream_ops {
    hs_chain *(*out)(hs_stream *s);
    void (*flush)(hs_stream *s);
    void (*pause)(hs_stream *s);
    void (*resume)(hs_stream *s);
    void (*close)(hs_stream *s);
    void (*abort)(hs_stream *s);
    size_t (*unsent)(const hs_stream *s);
    uint32_t (*sent)(const hs_stream *s);
    bool (*writable)(const hs_stream *s);
    /* Fill in what hs_secure_info_of (hs_secure.h) tells; NULL: the stream is not secure. */
    void (*secured)(const hs_stream *s, struct hs_secure_info *out);
} hs_stream_ops;

/* The head of every stream. `owner` is memory beside the stream for its user: as much as was asked
 * for where streams are made, zeroed at the start, aligned to 16. */
struct hs_stream {
    const hs_stream_ops *ops;
    const hs_stream_events *events; /* set by the user when it takes the stream */
    void *owner;
    hs_shard *shard;
};

/* The chain of bytes that will be sent: append to it, then hs_stream_flush. NULL when there is no
 * memory, or the stream is closing. Borrowed until the next call on the stream. */
static inline hs_chain *hs_stream_out(hs_stream *s)
{
    return s->ops->out(s);
}

/* Send what was appended. Bytes go out in order, gathered into as few sends as the system takes. */
static inline void hs_stream_flush(hs_stream *s)
{
    s->ops->flush(s);
}

/* Bytes that are not with the system yet. */
static inline size_t hs_stream_unsent(const hs_stream *s)
{
    return s->ops->unsent(s);
}

/* How many bytes the system has taken, modulo 2^32: whether a slow reader still makes progress. */
static inline uint32_t hs_stream_sent(const hs_stream *s)
{
    return s->ops->sent(s);
}

/* Whether the stream still takes bytes: nobody has closed it, and it has not failed. */
static inline bool hs_stream_writable(const hs_stream *s)
{
    return s->ops->writable(s);
}

/* Copy `data` to the send queue and flush. All or nothing. Errors: -ENOMEM, HS_E_CLOSED (closing).
 * The queue is not bounded by itself: see hs_stream_full. */
HS_API HS_NODISCARD hs_err hs_stream_write(hs_stream *s, hs_span data);

/* Whether the stream's share (hs_shard_send_share: HS_SEND_HIGH_BYTES, or less where the shard's
 * memory runs short) or more wait: make no more until `drained`. */
static inline bool hs_stream_full(const hs_stream *s)
{
    size_t unsent = hs_stream_unsent(s);
    return unsent >= HS_CHUNK_BYTES /* no share is less */ &&
           unsent >= hs_shard_send_share(s->shard);
}

/* Whether less than a quarter of the share waits: HS_SEND_LOW_BYTES, or less. */
static inline bool hs_stream_low(const hs_stream *s)
{
    return hs_stream_unsent(s) < hs_shard_send_share(s->shard) / 4;
}

/* Hear no more data for now. Some that the system has handed over already may still come. */
static inline void hs_stream_pause(hs_stream *s)
{
    s->ops->pause(s);
}

/* Hear data again. */
static inline void hs_stream_resume(hs_stream *s)
{
    s->ops->resume(s);
}

/* Send what is queued, then end the connection: our side first, then read and drop until the peer
 * ends its own, or HS_LINGER_MS or HS_LINGER_BYTES_MAX (RFC 9112 section 9.6), which count from our
 * side's end. No data is delivered any more; `closed` follows. Again: nothing. */
static inline void hs_stream_close(hs_stream *s)
{
    s->ops->close(s);
}

/* End the connection at once: what is unsent is dropped, and the peer sees a reset, so that it
 * cannot take a part for the whole. `closed` follows. */
static inline void hs_stream_abort(hs_stream *s)
{
    s->ops->abort(s);
}

HS_END_DECLS
