/* Content codings (RFC 9110 section 8.4.1): coded bytes in, plain bytes out, in pieces as large as
 * the caller has room for.
 *
 * Owns: the list in Content-Encoding, a chain of decoders (gzip, deflate, br, zstd) whose memory
 * comes from a hs_mem, and the limits that keep a small body from becoming an endless one. Must not
 * know: messages, sockets. The libraries are seen by one file each (coding_zlib.c, coding_brotli.c,
 * coding_zstd.c; coding_inside.h is between). Private to http; everything belongs to one shard.
 * Strict: what follows the end of the coded bytes is an error, but for further members of gzip and
 * frames of zstd; a window of zstd is at most 8 MiB (RFC 9659); "deflate" may have zlib's header
 * (RFC 1950) as it should, or none, as some servers have it.
 * Tested by: tests/unit/http_coding.c (each split, each failed allocation), fuzzed by
 * tests/fuzz/fuzz_coding.c. */
#pragma once

#include "hs_err.h"
#include "hs_mem.h"
#include "hs_span.h"

/* What a client that decodes may ask for. */
#define CODING_ACCEPT "gzip, deflate, br, zstd"
/* Codings on top of each other. One is usual, two are a proxy's mistake, more are an attack. */
#define CODINGS_MAX 3
/* By default a body may decode to this many times its coded size, once it is above the slack. JSON
 * and logs of like records reach 1:400; gzip cannot code anything but long runs of one pattern at
 * more than 1:1000 (its end is 1:1032), and the other codings reach 1:10000 with those alone. */
#define CODING_RATIO_MAX 1000
#define CODING_SLACK_BYTES (64u << 20)

typedef enum coding_kind { CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD } coding_kind;

typedef struct coding_list {
    uint8_t kinds[CODINGS_MAX]; /* coding_kind, in the order in which they were applied */
    uint8_t len;                /* 0: the bytes are as they are */
} coding_list;

/* Zeroed: the defaults. */
typedef struct coding_limits {
    uint64_t bytes_max; /* of plain bytes, and of what a decoder before the last gives. 0: none */
    uint64_t slack;     /* up to here the ratio does not matter. 0: CODING_SLACK_BYTES */
    uint32_t ratio_max; /* of plain to coded bytes. 0: CODING_RATIO_MAX */
} coding_limits;

/* Read the value of Content-Encoding, whose fields are combined: names without regard to case,
 * "x-gzip" for gzip, "identity" for nothing. Errors: HS_E_CODING (one is a coding that we do not
 * know), HS_E_LIMIT (more than CODINGS_MAX). */
HS_NODISCARD hs_err coding_list_parse(coding_list *out, hs_span value);

typedef struct coding coding;

/* Make decoders for a list with at least one coding. `mem` is borrowed for their life. A decoder
 * takes up to 40 KiB (gzip, deflate), 16 MiB (br) or 8 MiB (zstd), as the bytes ask for it.
 * Errors: -ENOMEM. */
HS_NODISCARD hs_err coding_open(coding **out, const hs_mem *mem, const coding_list *list,
                                const coding_limits *limits);

/* Give all back. NULL: nothing. */
void coding_close(coding *c);

/* Decode what is at the front of *in, which is moved on over what was used, to at most `room` (> 0)
 * bytes at `out`; *written is how many there are. Where *written is `room` there may be more: call
 * again, also with an empty *in. Otherwise all of *in was used.
 * Errors, which stay, and with which *written is 0: HS_E_CODING (not so coded, or there is more
 * after the end), HS_E_LIMIT (see coding_limits), -ENOMEM. */
HS_NODISCARD hs_err coding_read(coding *c, hs_span *in, uint8_t *out, size_t room, size_t *written);

/* Whether the coded bytes may end here; to be asked once coding_read gave less than there was room
 * for. No bytes at all are fine: servers say "gzip" of empty bodies. Errors: HS_E_TRUNCATED, or
 * what coding_read said. */
HS_NODISCARD hs_err coding_end(const coding *c);
