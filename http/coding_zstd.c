/* The coding zstd (RFC 8878, with the window of RFC 9659), by zstd's decoder. */
#define ZSTD_STATIC_LINKING_ONLY /* for the allocator; the shared library has it, too */
#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "coding_inside.h"
#include "hs_assert.h"

#define WINDOW_LOG_MAX 23 /* 8 MiB */
#define MAGIC_BYTES 4

typedef struct zstd_state {
    ZSTD_DCtx *z;
    uint8_t magic_at; /* how many of a frame's first bytes were looked at */
    bool skippable;   /* by the first of them */
} zstd_state;

static void *take(void *mem, size_t bytes)
{
    return coding_take(mem, bytes);
}

static void give(void *mem, void *ptr)
{
    coding_give(mem, ptr);
}

static hs_err zstd_open(coding_stage *stage)
{
    zstd_state *s = hs_mem_take_zero(stage->mem, sizeof *s, _Alignof(zstd_state));
    HS_ENSURE(s, -ENOMEM);
    stage->state = s;
    ZSTD_customMem mem = {take, give, (void *)(uintptr_t)stage->mem};
    s->z = ZSTD_createDCtx_advanced(mem);
    HS_ENSURE(s->z, -ENOMEM);
    size_t r = ZSTD_DCtx_setParameter(s->z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    HS_ENSURE(!ZSTD_isError(r), HS_E_INTERNAL);
    return HS_OK;
}

static void zstd_close(coding_stage *stage)
{
    zstd_state *s = stage->state;
    if (!s)
        return;
    ZSTD_freeDCtx(s->z);
    hs_mem_give(stage->mem, s, sizeof *s, _Alignof(zstd_state));
    stage->state = NULL;
}

/* The library may also know the formats before RFC 8878, which nobody may send, and whose decoders
 * are old: so a frame's magic number is checked here, and its bytes are passed on one by one, as
 * the old formats are only looked for in a whole one. */
static hs_err check_magic(zstd_state *s, uint8_t byte)
{
    static const uint8_t frame[MAGIC_BYTES] = {0x28, 0xb5, 0x2f, 0xfd};
    static const uint8_t skippable[MAGIC_BYTES] = {0x50, 0x2a, 0x4d, 0x18};
    HS_ASSERT(s->magic_at < MAGIC_BYTES);
    if (s->magic_at == 0)
        s->skippable = (byte & 0xf0) == 0x50;
    bool fine = s->skippable ? s->magic_at == 0 || byte == skippable[s->magic_at]
                             : byte == frame[s->magic_at];
    HS_ENSURE(fine, HS_E_CODING);
    s->magic_at++;
    return HS_OK;
}

static hs_err error_of(size_t r)
{
    bool memory = ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation;
    return hs_err_of(memory ? -ENOMEM : HS_E_CODING);
}

static hs_err zstd_run(coding_stage *stage, hs_span *in, uint8_t *out, size_t room, size_t *written)
{
    zstd_state *s = stage->state;
    ZSTD_outBuffer to = {out, room, 0};
    while (to.pos < room && !(stage->whole && in->len == 0)) {
        bool magic = s->magic_at < MAGIC_BYTES && in->len > 0;
        if (magic)
            HS_TRY(check_magic(s, in->ptr[0]));
        ZSTD_inBuffer from = {in->ptr, magic ? 1 : in->len, 0};
        size_t before = to.pos;
        size_t r = ZSTD_decompressStream(s->z, &to, &from);
        if (ZSTD_isError(r))
            return error_of(r);
        HS_ENSURE(!magic || from.pos == 1, HS_E_INTERNAL);
        *in = hs_span_from(*in, from.pos);
        stage->whole = r == 0;
        if (stage->whole)
            s->magic_at = 0;
        if (from.pos == 0 && to.pos == before) {
            HS_ENSURE(in->len == 0, HS_E_INTERNAL);
            break;
        }
    }
    *written = to.pos;
    return HS_OK;
}

const coding_codec coding_zstd = {zstd_open, zstd_run, zstd_close};
