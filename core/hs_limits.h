/* Every limit of the lower layers, in one place, with why.
 *
 * Past a limit comes backpressure first, then a clear error: never unbounded growth, never a silent
 * drop. What a user may want to set is an option whose default stands here. */
#pragma once

#include "hs_base.h"

/* Shards in one process: an ordered pair of shards has a queue, so memory grows with the square. */
#define HS_SHARDS_MAX 256
/* Calls from one shard to another that are under way. A queue has room for twice as many
 * messages: the calls of its sender and the answers to the calls of its receiver, so that an answer
 * always fits. */
#define HS_CALLS_MAX 256
#define HS_MAIL_CAPACITY (2 * HS_CALLS_MAX)
HS_STATIC_ASSERT((HS_MAIL_CAPACITY & (HS_MAIL_CAPACITY - 1)) == 0,
                 "a ring's size is a power of two");

/* Calls of a shard that give promises and have not come to an end, in line or waiting for what they
 * started: as many as it may have requests under way, with a memory of 16 MiB. */
#define HS_CALLS_WAIT_MAX (1u << 16)

/* Threads for work that blocks, in a group. What blocks waits for a disk or for another process and
 * takes little of a processor: four keep one disk busy, and are what other runtimes begin with.
 * More of them take processors from the shards once their work is not waiting after all. */
#define HS_BLOCKING_THREADS 4
#define HS_BLOCKING_THREADS_MAX 1024
/* Work that waits for one of them, of all shards together: at a millisecond each, the last of a
 * thousand waits for a quarter of a second, and nobody would wait for much longer. */
#define HS_BLOCKING_QUEUE 1024
#define HS_BLOCKING_QUEUE_MAX (1u << 16)
/* Of one shard: what waits, what runs, and what was withdrawn and is still in the queue. */
#define HS_BLOCKING_WORKS_MAX (1u << 17)

/* Messages of one sender that are on their way, and sends of a shard that wait for room. */
#define HS_CHANNEL_CAPACITY_MAX (1u << 16)
#define HS_CHANNEL_WAIT_MAX (1u << 16)

/* Submission entries: what one turn of a busy shard queues before it waits. When more is queued,
 * the backend submits in between. Completions: four for each, so that multishot bursts do not
 * overflow. */
#define HS_SQ_ENTRIES 1024
#define HS_CQ_ENTRIES (4 * HS_SQ_ENTRIES)
/* Completions, tasks and messages handled in one turn before timers and submission get theirs. */
#define HS_TURN_EVENTS_MAX 256
#define HS_TURN_TASKS_MAX 1024
#define HS_TURN_TIMERS_MAX 256
/* Microtasks run to exhaustion, so this is far above what honest code needs in a turn: what it
 * bounds is a chain that makes itself longer, to some milliseconds. */
#define HS_TURN_MICROTASKS_MAX 65536
#define HS_TURN_MAIL_MAX 64
/* A piece of an answer above this size finds room only where the chunks' last eighth is not in use.
 */
#define HS_RES_SMALL_BYTES (16u * 1024)
/* Slabs of 64 KiB that go back to the system in one turn: about a millisecond. More follow after
 * some milliseconds, 200 MiB a second in all. */
#define HS_TURN_TRIM_SLABS 16
#define HS_TRIM_REST_MS 5
/* Pipelined requests: how many of one connection run in one turn, and how long those of all
 * connections may take together. The first request of a connection in a turn is not counted. */
#define HS_TURN_PIPELINED_MAX 64
#define HS_TURN_PIPELINED_NS (2 * HS_MSEC_NS)
/* How long TLS handshakes may take in a turn; one step runs at least. */
#define HS_TURN_HANDSHAKES_NS (2 * HS_MSEC_NS)

/* A callback that holds its shard longer than this is worth a line in the log: every other
 * connection of the shard waited for it. */
#define HS_STALL_MS 10

/* Receive buffers: 16 KiB holds the largest head that we take in one piece. A shard starts
 * with few, so that a quiet one stays small and a busy one stays in its cache; it grows on
 * exhaustion. */
#define HS_RBUF_BYTES 16384
#define HS_RBUFS_MIN 32
#define HS_RBUFS_MAX 1024
HS_STATIC_ASSERT((HS_RBUFS_MAX & (HS_RBUFS_MAX - 1)) == 0, "a ring's size is a power of two");
HS_STATIC_ASSERT(HS_RBUFS_MIN <= HS_RBUFS_MAX, "a pool starts within its limit");

/* Connections of a shard. Files run out first on most machines. */
#define HS_CONNS_MAX (1u << 20)
#define HS_TIMERS_MAX (1u << 22)
/* Promises of 96 bytes and cancel tokens of 128: some for each connection that a shard may have. */
#define HS_PROMISES_MAX (1u << 21)
#define HS_CANCELS_MAX (1u << 20)
/* Pieces of 512 bytes, for what waits for a few promises or tokens at once. */
#define HS_BLOCKS_MAX (1u << 18)
/* Chunks of 4 KiB for sending and for requests' arenas: of all shards together a quarter of the
 * memory that the process may use, but 2 MiB to 256 MiB a shard. */
#define HS_CHUNKS_MIN 512u
#define HS_CHUNKS_MAX (1u << 16)

/* Fibers of a shard: one for each request under way that waits. A quarter of a million of them
 * need 1 GiB at a page each. */
#define HS_FIBERS_MAX (1u << 18)
/* A fiber's stack: room for a TLS handshake or a printf of floating-point numbers; only what is
 * touched costs memory, in pages. Below the least even an assertion's line would not fit. */
#define HS_FIBER_STACK_BYTES ((size_t)64 * 1024)
#define HS_FIBER_STACK_BYTES_MIN ((size_t)16 * 1024)
#define HS_FIBER_STACK_BYTES_MAX ((size_t)1 << 30)
/* Below each stack, addresses without memory. Code that is compiled without stack probes steps over
 * a guard of one page with one large array, into the next stack; 64 KiB is also what compilers for
 * aarch64 take a guard to be. */
#define HS_FIBER_GUARD_BYTES ((size_t)64 * 1024)
/* Stacks are carved from mappings of about this size. */
#define HS_FIBER_REGION_BYTES ((size_t)8 * 1024 * 1024)
/* Idle stacks that stay as they are while a shard rests, and how many are given back in one go: a
 * system call each, for less than a millisecond in all. */
#define HS_FIBER_STACKS_KEEP 16
#define HS_FIBER_STACKS_TRIM 512
/* A stream that has this much unsent pushes back; below the low-water mark it takes more. */
#define HS_SEND_HIGH_BYTES (256u * 1024)
#define HS_SEND_LOW_BYTES (64u * 1024)
HS_STATIC_ASSERT(HS_SEND_LOW_BYTES == HS_SEND_HIGH_BYTES / 4, "as of any share: hs_stream_low");
/* Vectors in one send: 16 chunks of 4 KiB, about what a socket buffer takes at once. */
#define HS_SEND_IOV_MAX 16
/* What a buffered stream keeps by default until it is read: a read gives no more at once. The least
 * that it may be set to leaves room for the longest delimiter of a text. */
#define HS_BUFIO_BYTES (64u * 1024)
#define HS_BUFIO_BYTES_MIN 64
#define HS_BUFIO_DELIMITER_MAX 16
HS_STATIC_ASSERT(HS_BUFIO_DELIMITER_MAX < HS_BUFIO_BYTES_MIN, "a delimiter fits into a buffer");
/* What is gathered before it is sent without a flush: four chunks. */
#define HS_BUFIO_GATHER_BYTES (16u * 1024)
/* Dials under way in a shard, and their attempts, of which a slow host has one for each of its
 * addresses. */
#define HS_DIALS_MAX (1u << 14)
#define HS_DIAL_ATTEMPTS_MAX (4 * HS_DIALS_MAX)
/* Queries to name servers under way in a shard at a time; those that wait behind them; and lookups,
 * of which several may wait for one query. A server limits what one client may ask, too. */
#define HS_DNS_QUERIES_MAX 64
#define HS_DNS_QUEUE_MAX 1024
#define HS_DNS_LOOKUPS_MAX 16384
/* Answers kept by a shard: about 300 KiB. */
#define HS_DNS_CACHE_MAX 1024
/* Addresses of one name and family: nobody tries more, and the rest is left out. */
#define HS_DNS_ADDRS_MAX 32
/* Search domains; resolv.conf had a limit of six for long. */
#define HS_DNS_SEARCH_MAX 16
/* A hosts file that blocks names may have 100,000 lines. */
#define HS_DNS_HOSTS_BYTES_MAX (8u * 1024 * 1024)
#define HS_DNS_RESOLV_BYTES_MAX (64u * 1024)
/* How often it is looked at whether those files have changed, while names are looked up. */
#define HS_DNS_WATCH_MS 1000
/* Once its last answer has left, a closing connection reads and drops what still comes, for this
 * long and this much, so that the answer is not lost to a reset (RFC 9112 section 9.6). Most
 * clients read no answer before their upload is out. */
#define HS_LINGER_MS 2000
#define HS_LINGER_BYTES_MAX (4u * 1024 * 1024)

/* A drain gives connections that were accepted less than this before it, or since, the time to send
 * their first request, and to end their handshake. */
#define HS_DRAIN_FIRST_MS 1000
/* After the end of a drain what is left is cut off, and ends within this time; past it the shards
 * end without what still holds them. */
#define HS_END_MS 5000

/* The fields of a response, and those of its trailers, that a handler adds: in sum, as they are
 * sent. What an upstream sent passes through a proxy, however long one of its fields is. */
#define HS_RES_FIELDS_BYTES_MAX (64u * 1024)

/* A JSON text: as long as a response's body may be by default. And how deep it may go: what walks a
 * document by recursion has a fiber's stack, where so many calls fit. Texts that people or programs
 * write for each other stay below a tenth of it. */
#define HS_JSON_BYTES_MAX (16u * 1024 * 1024)
#define HS_JSON_DEPTH_MAX 128

/* TLS handshakes of a shard that are under way. Each takes about 20 KiB and the time of one round
 * trip: at the tenth of a second that is far away, four times what a core can compute. */
#define HS_TLS_HANDSHAKES_MAX 4096
/* How long a key makes tickets; it opens them for twice as long again. Who gets at the keys can
 * read what was resumed with TLS 1.2 in that time. */
#define HS_TLS_TICKET_S (4u * 3600)

/* TLS sessions that a shard's clients keep for later handshakes, and of one server: as many as
 * begin at the same time, since each is used once. One is about 1 KiB. */
#define HS_TLS_SESSIONS_MAX 256
#define HS_TLS_SESSIONS_HOST_MAX 4

/* Datagram sockets of a shard. */
#define HS_UDP_SOCKS_MAX 65536
/* The largest that is received whole: no UDP datagram is larger. A Unix datagram may be, and is cut
 * there. */
#define HS_UDP_BYTES_MAX 65535
/* Datagrams received or sent by one system call: enough that the call's own cost is small beside
 * theirs, and few enough that those of one socket do not hold up the others of its shard. */
#define HS_UDP_BATCH 32
/* What one socket sends in a turn before others get theirs. */
#define HS_UDP_TURN_MAX 256
/* What one socket may have waiting to be sent by default, and how many datagrams; the latter of all
 * sockets of a shard. */
#define HS_UDP_QUEUE_BYTES (1u << 20)
#define HS_UDP_QUEUE_MAX 8192
#define HS_UDP_OUTS_MAX (1u << 17)
/* Datagrams that go to the kernel as one to be cut up (udp(7), UDP_SEGMENT): what every kernel that
 * cuts takes. Their bytes together must fit into one IP packet. */
#define HS_UDP_GSO_MAX 64
#define HS_UDP_GSO_BYTES 65000u
