/* The codings gzip (RFC 1952) and deflate (RFC 1950, or RFC 1951 alone), by zlib. */
#include <errno.h>
#include <limits.h>
#include <zlib.h>

#include "coding_inside.h"
#include "hs_assert.h"

#define HEAD_BYTES 2

typedef struct zlib_state {
    z_stream z;
    bool made;                /* inflateInit2 was called */
    bool gzip;                /* another member may follow */
    uint8_t head[HEAD_BYTES]; /* deflate: the first bytes, which tell whether it has a header */
    uint8_t head_len, head_at;
} zlib_state;

static voidpf take(voidpf mem, uInt items, uInt bytes)
{
    size_t all;
    return __builtin_mul_overflow((size_t)items, bytes, &all) ? NULL : coding_take(mem, all);
}

static void give(voidpf mem, voidpf ptr)
{
    coding_give(mem, ptr);
}

static hs_err make(zlib_state *s, int window_bits)
{
    HS_ASSERT(!s->made);
    int r = inflateInit2(&s->z, window_bits);
    HS_ENSURE(r != Z_MEM_ERROR, -ENOMEM);
    HS_ENSURE(r == Z_OK, HS_E_INTERNAL);
    s->made = true;
    return HS_OK;
}

static hs_err open_state(coding_stage *stage, bool gzip)
{
    zlib_state *s = hs_mem_take_zero(stage->mem, sizeof *s, _Alignof(zlib_state));
    HS_ENSURE(s, -ENOMEM);
    stage->state = s;
    s->gzip = gzip;
    s->z.zalloc = take;
    s->z.zfree = give;
    s->z.opaque = (voidpf)(uintptr_t)stage->mem;
    return HS_OK;
}

static hs_err gzip_open(coding_stage *stage)
{
    HS_TRY(open_state(stage, true));
    return make(stage->state, MAX_WBITS + 16);
}

static hs_err deflate_open(coding_stage *stage)
{
    return open_state(stage, false);
}

static void zlib_close(coding_stage *stage)
{
    zlib_state *s = stage->state;
    if (!s)
        return;
    if (s->made)
        inflateEnd(&s->z);
    hs_mem_give(stage->mem, s, sizeof *s, _Alignof(zlib_state));
    stage->state = NULL;
}

/* zlib's header (RFC 1950 section 2.2) without a preset dictionary. Bare deflate could begin so,
 * with a stored block whose unused bits are not zero; nothing writes that. */
static bool has_header(const uint8_t *head)
{
    return (head[0] & 0x0f) == Z_DEFLATED && head[0] >> 4 <= MAX_WBITS - 8 &&
           (head[0] << 8 | head[1]) % 31 == 0;
}

/* Gather the first bytes of a deflated body, then decide. False in *ready: more are needed. */
static hs_err deflate_decide(zlib_state *s, hs_span *in, bool *ready)
{
    while (s->head_len < HEAD_BYTES && in->len > 0) {
        s->head[s->head_len++] = in->ptr[0];
        *in = hs_span_from(*in, 1);
    }
    *ready = s->head_len == HEAD_BYTES;
    return *ready ? make(s, has_header(s->head) ? MAX_WBITS : -MAX_WBITS) : HS_OK;
}

/* After a whole stream: nothing, or for gzip another member, which begins anew. */
static hs_err begin_again(coding_stage *stage, const hs_span *in)
{
    zlib_state *s = stage->state;
    HS_ENSURE(s->gzip && in->ptr[0] == 0x1f, HS_E_CODING);
    int r = inflateReset(&s->z);
    HS_ENSURE(r == Z_OK, HS_E_INTERNAL);
    stage->whole = false;
    return HS_OK;
}

/* One call of inflate: the kept head first, then *in. */
static int inflate_some(zlib_state *s, hs_span *in)
{
    bool head = s->head_at < s->head_len;
    hs_span from =
        head ? hs_span_of(s->head + s->head_at, (size_t)(s->head_len - s->head_at)) : *in;
    s->z.next_in = (z_const Bytef *)(uintptr_t)from.ptr;
    s->z.avail_in = (uInt)HS_MIN(from.len, UINT_MAX);
    uInt before = s->z.avail_in;
    int r = inflate(&s->z, Z_NO_FLUSH);
    size_t used = before - s->z.avail_in;
    HS_ASSERT(used <= from.len);
    if (head)
        s->head_at += (uint8_t)used;
    else
        *in = hs_span_from(*in, used);
    return r;
}

static hs_err zlib_run(coding_stage *stage, hs_span *in, uint8_t *out, size_t room, size_t *written)
{
    zlib_state *s = stage->state;
    bool ready = true;
    if (!s->made)
        HS_TRY(deflate_decide(s, in, &ready));
    if (!ready)
        return HS_OK;
    *written = 0;
    while (*written < room) {
        if (stage->whole) {
            if (in->len == 0 && s->head_at == s->head_len)
                return HS_OK;
            HS_ENSURE(s->head_at == s->head_len, HS_E_CODING);
            HS_TRY(begin_again(stage, in));
        }
        uInt most = (uInt)HS_MIN(room - *written, UINT_MAX);
        s->z.next_out = out + *written;
        s->z.avail_out = most;
        int r = inflate_some(s, in);
        *written += most - s->z.avail_out;
        HS_ENSURE(r != Z_MEM_ERROR, -ENOMEM);
        HS_ENSURE(r == Z_OK || r == Z_BUF_ERROR || r == Z_STREAM_END, HS_E_CODING);
        stage->whole = r == Z_STREAM_END;
        bool starved = in->len == 0 && s->head_at == s->head_len;
        if (!stage->whole && starved && s->z.avail_out > 0)
            return HS_OK;
    }
    return HS_OK;
}

const coding_codec coding_gzip = {gzip_open, zlib_run, zlib_close};
const coding_codec coding_deflate = {deflate_open, zlib_run, zlib_close};
