/* The chain of decoders, and its limits: see coding.h. */
#include <errno.h>
#include <string.h>

#include "coding_inside.h"
#include "hs_assert.h"

/* Between two decoders. */
#define MIDDLE_BYTES 8192

typedef struct middle {
    hs_span left; /* in `bytes`: what the next decoder has not used */
    uint8_t bytes[MIDDLE_BYTES];
} middle;

struct coding {
    const hs_mem *mem;
    coding_limits limits;
    hs_err err; /* what ended it */
    uint64_t in_bytes;
    uint32_t len;
    coding_stage stages[CODINGS_MAX]; /* the first is what was applied last */
    middle middles[];                 /* len - 1 of them */
};

/* ---- memory ---- */

#define HEADER_BYTES 16

void *coding_take(const hs_mem *mem, size_t bytes)
{
    if (bytes > SIZE_MAX - HEADER_BYTES)
        return NULL;
    size_t *header = hs_mem_take(mem, bytes + HEADER_BYTES, HEADER_BYTES);
    if (!header)
        return NULL;
    *header = bytes + HEADER_BYTES;
    return (uint8_t *)header + HEADER_BYTES;
}

void coding_give(const hs_mem *mem, void *ptr)
{
    if (!ptr)
        return;
    size_t *header = (size_t *)(void *)((uint8_t *)ptr - HEADER_BYTES);
    HS_ASSERT(*header >= HEADER_BYTES);
    hs_mem_give(mem, header, *header, HEADER_BYTES);
}

/* ---- the list ---- */

static const struct {
    const char *name;
    uint8_t kind;
} names[] = {
    {"gzip", CODING_GZIP},       {"x-gzip", CODING_GZIP}, {"br", CODING_BR},
    {"deflate", CODING_DEFLATE}, {"zstd", CODING_ZSTD},
};

static hs_err list_add(coding_list *list, hs_span name)
{
    if (name.len == 0 || hs_span_eq_nocase(name, HS_SPAN("identity")))
        return HS_OK;
    for (size_t i = 0; i < HS_ARRAY_LEN(names); i++) {
        if (hs_span_eq_nocase(name, hs_span_str(names[i].name))) {
            HS_ENSURE(list->len < CODINGS_MAX, HS_E_LIMIT);
            list->kinds[list->len++] = names[i].kind;
            return HS_OK;
        }
    }
    return hs_err_of(HS_E_CODING);
}

hs_err coding_list_parse(coding_list *out, hs_span value)
{
    *out = (coding_list){.len = 0};
    while (value.len > 0) {
        const uint8_t *comma = memchr(value.ptr, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.ptr) : value.len;
        HS_TRY(list_add(out, hs_span_trim(hs_span_of(value.ptr, len))));
        value = hs_span_from(value, comma ? len + 1 : len);
    }
    HS_ASSERT(out->len <= CODINGS_MAX);
    return HS_OK;
}

/* ---- the chain ---- */

static const coding_codec *const codecs[] = {
    [CODING_GZIP] = &coding_gzip,
    [CODING_DEFLATE] = &coding_deflate,
    [CODING_BR] = &coding_br,
    [CODING_ZSTD] = &coding_zstd,
};

static size_t bytes_of(uint32_t len)
{
    return sizeof(coding) + (len - 1) * sizeof(middle);
}

static coding_limits with_defaults(const coding_limits *limits)
{
    coding_limits l = *limits;
    if (l.bytes_max == 0)
        l.bytes_max = UINT64_MAX;
    if (l.slack == 0)
        l.slack = CODING_SLACK_BYTES;
    if (l.ratio_max == 0)
        l.ratio_max = CODING_RATIO_MAX;
    return l;
}

hs_err coding_open(coding **out, const hs_mem *mem, const coding_list *list,
                   const coding_limits *limits)
{
    HS_ASSERT(list->len > 0 && list->len <= CODINGS_MAX);
    *out = NULL;
    coding *c = hs_mem_take(mem, bytes_of(list->len), _Alignof(coding));
    HS_ENSURE(c, -ENOMEM);
    *c = (coding){.mem = mem, .limits = with_defaults(limits)};
    for (uint32_t i = 0; i + 1 < list->len; i++)
        c->middles[i].left = hs_span_of(NULL, 0);
    for (uint32_t i = 0; i < list->len; i++) {
        uint8_t kind = list->kinds[list->len - 1 - i];
        HS_ASSERT(kind < HS_ARRAY_LEN(codecs));
        c->stages[i] = (coding_stage){.codec = codecs[kind], .mem = mem};
    }
    c->len = list->len;
    hs_err err = HS_OK;
    for (uint32_t i = 0; i < c->len && hs_ok(err); i++)
        err = c->stages[i].codec->open(&c->stages[i]);
    if (!hs_ok(err)) {
        coding_close(c);
        return err;
    }
    *out = c;
    return HS_OK;
}

void coding_close(coding *c)
{
    if (!c)
        return;
    HS_ASSERT(c->len > 0 && c->len <= CODINGS_MAX);
    for (uint32_t i = 0; i < c->len; i++)
        c->stages[i].codec->close(&c->stages[i]);
    hs_mem_give(c->mem, c, bytes_of(c->len), _Alignof(coding));
}

/* Each decoder's output is held against what came from the peer: one before the last may be asked
 * for a great deal of work as well, of which nothing comes out in the end. */
static hs_err check_limits(const coding *c, const coding_stage *s)
{
    HS_ENSURE(s->out_bytes <= c->limits.bytes_max, HS_E_LIMIT);
    HS_ENSURE(s->out_bytes <= c->limits.slack || s->out_bytes / c->limits.ratio_max <= c->in_bytes,
              HS_E_LIMIT);
    return HS_OK;
}

static hs_err run_stage(coding *c, uint32_t i, hs_span *in, uint8_t *out, size_t room,
                        size_t *written)
{
    coding_stage *s = &c->stages[i];
    size_t before = in->len;
    *written = 0;
    /* Asked again and again for nothing, zstd takes it for an endless loop. */
    if (before == 0 && !s->more)
        return HS_OK;
    s->begun |= before > 0;
    HS_TRY(s->codec->run(s, in, out, room, written));
    HS_ASSERT(in->len <= before && *written <= room);
    HS_ASSERT(*written == room || in->len == 0);
    s->more = *written == room;
    if (i == 0)
        c->in_bytes += before - in->len;
    s->out_bytes += *written;
    return check_limits(c, s);
}

/* Let each decoder that can do so work once, from the last one to the first. *moved: whether any
 * used or gave a byte. */
static hs_err run_all(coding *c, hs_span *in, uint8_t *out, size_t room, size_t *written,
                      bool *moved)
{
    for (uint32_t i = c->len; i-- > 0;) {
        hs_span *from = i == 0 ? in : &c->middles[i - 1].left;
        size_t before = from->len, gave;
        if (i + 1 == c->len) {
            HS_TRY(run_stage(c, i, from, out, room, &gave));
            *written = gave;
        } else {
            middle *to = &c->middles[i];
            if (to->left.len > 0)
                continue;
            HS_TRY(run_stage(c, i, from, to->bytes, MIDDLE_BYTES, &gave));
            to->left = hs_span_of(to->bytes, gave);
        }
        *moved |= gave > 0 || from->len < before;
    }
    return HS_OK;
}

hs_err coding_read(coding *c, hs_span *in, uint8_t *out, size_t room, size_t *written)
{
    HS_ASSERT(room > 0 && out != NULL);
    size_t done = 0;
    bool moved = true;
    *written = 0;
    while (hs_ok(c->err) && moved && done < room) {
        size_t gave = 0;
        moved = false;
        c->err = run_all(c, in, out + done, room - done, &gave, &moved);
        done += gave;
    }
    HS_TRY(c->err);
    HS_ASSERT(done == room || in->len == 0);
    *written = done;
    return HS_OK;
}

hs_err coding_end(const coding *c)
{
    HS_TRY(c->err);
    for (uint32_t i = 0; i < c->len; i++)
        HS_ENSURE(c->stages[i].whole || !c->stages[i].begun, HS_E_TRUNCATED);
    return HS_OK;
}
