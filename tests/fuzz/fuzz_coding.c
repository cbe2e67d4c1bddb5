/* Fuzzes the content decoders: a byte that says which codings, a byte that says how the input is
 * cut, then the coded bytes.
 *
 * Checked: no byte outside is read or written; limits hold; all memory comes back; and how the
 * input is cut makes no difference. */
#include "coding.h"
#include "hs_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLAIN_MAX (256u << 10)

static uint8_t once[PLAIN_MAX + 8192], again[PLAIN_MAX + 8192];
static size_t pieces_out;

static void *take(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    /* zstd's window, brotli's, and no more than some of them. */
    HS_ASSERT(bytes <= (33u << 20));
    pieces_out++;
    void *ptr = hs_mem_take(hs_mem_system(), bytes, align);
    HS_ASSERT(ptr != NULL);
    return ptr;
}

static void give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    (void)ctx;
    HS_ASSERT(pieces_out > 0);
    pieces_out--;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
}

static hs_err decode(const coding_list *list, hs_span in, size_t piece, size_t room, uint8_t *out,
                     size_t *len)
{
    const hs_mem mem = {take, give, NULL};
    const coding_limits limits = {.bytes_max = PLAIN_MAX, .ratio_max = 1000, .slack = 1000};
    coding *c;
    hs_err err = coding_open(&c, &mem, list, &limits);
    HS_ASSERT(hs_ok(err));
    *len = 0;
    size_t gave = 0;
    while (hs_ok(err) && (in.len > 0 || gave == room)) {
        hs_span part = hs_span_of(in.ptr, HS_MIN(piece, in.len));
        in = hs_span_from(in, part.len);
        do {
            HS_ASSERT(*len <= PLAIN_MAX);
            err = coding_read(c, &part, out + *len, room, &gave);
            HS_ASSERT(gave <= room);
            HS_ASSERT(hs_ok(err) || gave == 0);
            *len += gave;
        } while (hs_ok(err) && gave == room);
        HS_ASSERT(!hs_ok(err) || part.len == 0);
    }
    hs_err end = coding_end(c);
    HS_ASSERT(hs_ok(err) || end.code == err.code);
    coding_close(c);
    HS_ASSERT(pieces_out == 0);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    coding_list list = {.len = 0};
    list.kinds[list.len++] = data[0] & 3;
    if (data[0] & 4)
        list.kinds[list.len++] = data[0] >> 4 & 3;
    if (data[0] & 8)
        list.kinds[list.len++] = data[0] >> 6;
    hs_span in = hs_span_of(data + 2, size - 2);
    size_t len, len_again;
    hs_err err = decode(&list, in, SIZE_MAX, 4096, once, &len);
    HS_ASSERT(hs_ok(err) || err.code == HS_E_CODING || err.code == HS_E_TRUNCATED ||
              err.code == HS_E_LIMIT);
    size_t piece = 1 + (data[1] & 15), room = 1 + (size_t)(data[1] >> 4) * 50;
    hs_err cut = decode(&list, in, piece, room, again, &len_again);
    /* The ratio counts what has come so far, so a piece may come too late for it. */
    if (err.code == HS_E_LIMIT || cut.code == HS_E_LIMIT)
        return 0;
    HS_ASSERT(err.code == cut.code);
    HS_ASSERT(!hs_ok(err) || (len == len_again && memcmp(once, again, len) == 0));
    return 0;
}
