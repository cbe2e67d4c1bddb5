/* The decoders: what the libraries' own coders made, in every split, broken at every byte, with
 * each allocation failing, and in more layers than anyone needs. */
#include <brotli/encode.h>
#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#include "coding.h"
#include "core_help.h"

#define PLAIN_MAX (64u << 10)
#define CODED_MAX (128u << 10)

static uint8_t plain[PLAIN_MAX], got[PLAIN_MAX * 2];

typedef struct coded {
    uint8_t bytes[CODED_MAX];
    size_t len;
} coded;

/* Text that comes down to a fraction, and does not repeat itself at once. */
static void fill_plain(void)
{
    rng r = {7};
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)("abcdefgh \n"[rng_below(&r, 10)]);
}

TestSuite(http_coding, .init = fill_plain);

/* ---- coders ---- */

static void add_deflated(coded *c, hs_span in, int window_bits)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in.ptr;
    z.avail_in = (uInt)in.len;
    z.next_out = c->bytes + c->len;
    z.avail_out = (uInt)(sizeof c->bytes - c->len);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    c->len += z.total_out;
    deflateEnd(&z);
}

static void add_br(coded *c, hs_span in)
{
    size_t room = sizeof c->bytes - c->len;
    cr_assert(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, in.len, in.ptr, &room,
                                    c->bytes + c->len));
    c->len += room;
}

static void add_zstd(coded *c, hs_span in)
{
    size_t n = ZSTD_compress(c->bytes + c->len, sizeof c->bytes - c->len, in.ptr, in.len, 3);
    cr_assert_not(ZSTD_isError(n));
    c->len += n;
}

typedef enum way { GZIP, ZLIB, RAW, BR, ZSTD, WAYS } way;

static const char *const way_names[WAYS] = {"gzip", "deflate", "deflate", "br", "zstd"};

static void add(coded *c, way how, hs_span in)
{
    if (how == BR)
        add_br(c, in);
    else if (how == ZSTD)
        add_zstd(c, in);
    else
        add_deflated(c, in, how == GZIP ? 31 : how == ZLIB ? 15 : -15);
}

static const coded *code(way how, hs_span in)
{
    static coded c;
    c.len = 0;
    add(&c, how, in);
    return &c;
}

/* ---- decoding ---- */

static const coding_limits no_limits = {.slack = UINT64_MAX};

static coding_list list_of(const char *names)
{
    coding_list list;
    cr_assert(hs_ok(coding_list_parse(&list, hs_span_str(names))), "%s", names);
    return list;
}

/* Read until `in` is used up, `room` bytes at a time. */
static hs_err drain(coding *c, hs_span in, size_t room, size_t *len)
{
    size_t gave = room;
    while (in.len > 0 || gave == room) {
        cr_assert(*len + room <= sizeof got);
        HS_TRY(coding_read(c, &in, got + *len, room, &gave));
        cr_assert(gave <= room);
        *len += gave;
    }
    return HS_OK;
}

static hs_err decode_from(const hs_mem *mem, const char *names, const coding_limits *limits,
                          hs_span in, size_t first, size_t room, size_t *len)
{
    coding_list list = list_of(names);
    coding *c;
    *len = 0;
    HS_TRY(coding_open(&c, mem, &list, limits));
    hs_err err = drain(c, hs_span_of(in.ptr, first), room, len);
    if (hs_ok(err))
        err = drain(c, hs_span_from(in, first), room, len);
    if (hs_ok(err)) {
        err = coding_end(c);
    } else {
        size_t gave = 1;
        cr_assert_eq(coding_read(c, &in, got, 1, &gave).code, err.code);
        cr_assert_eq(gave, 0);
        cr_assert_eq(coding_end(c).code, err.code);
    }
    coding_close(c);
    return err;
}

static hs_err decode(const char *names, hs_span in, size_t *len)
{
    return decode_from(hs_mem_system(), names, &no_limits, in, 0, 4096, len);
}

static void expect(const char *names, hs_span in, size_t first, size_t room, hs_span want)
{
    size_t len;
    hs_err err = decode_from(hs_mem_system(), names, &no_limits, in, first, room, &len);
    cr_assert(hs_ok(err), "%s, split at %zu, room for %zu: %s", names, first, room,
              hs_err_name(err));
    cr_assert(hs_span_eq(hs_span_of(got, len), want), "%s, split at %zu, room for %zu", names,
              first, room);
}

static void expect_err(const char *names, hs_span in, int want)
{
    size_t len;
    hs_err err = decode(names, in, &len);
    cr_assert_eq(err.code, want, "%s: %s", names, hs_err_name(err));
}

static hs_span span_of(const coded *c)
{
    return hs_span_of(c->bytes, c->len);
}

/* ---- the list ---- */

Test(http_coding, the_list_is_read)
{
    static const struct {
        const char *text;
        uint8_t len, first, last;
    } good[] = {
        {"", 0, 0, 0},
        {"identity", 0, 0, 0},
        {" , identity,\t", 0, 0, 0},
        {"gzip", 1, CODING_GZIP, CODING_GZIP},
        {"X-GZip", 1, CODING_GZIP, CODING_GZIP},
        {" deflate ", 1, CODING_DEFLATE, CODING_DEFLATE},
        {"BR", 1, CODING_BR, CODING_BR},
        {"zstd", 1, CODING_ZSTD, CODING_ZSTD},
        {"gzip, identity ,br", 2, CODING_GZIP, CODING_BR},
        {"zstd,gzip,br", 3, CODING_ZSTD, CODING_BR},
    };
    static const char *const bad[] = {"compress", "gzip br", "gzip;q=1",  "*",
                                      "g zip",    "gzi",     "gzip,br,x", "gzip, x"};
    coding_list list;
    for (size_t i = 0; i < HS_ARRAY_LEN(good); i++) {
        cr_assert(hs_ok(coding_list_parse(&list, hs_span_str(good[i].text))), "%s", good[i].text);
        cr_assert_eq(list.len, good[i].len, "%s", good[i].text);
        if (list.len > 0) {
            cr_assert_eq(list.kinds[0], good[i].first, "%s", good[i].text);
            cr_assert_eq(list.kinds[list.len - 1], good[i].last, "%s", good[i].text);
        }
    }
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(coding_list_parse(&list, hs_span_str(bad[i])).code, HS_E_CODING, "%s", bad[i]);
    cr_assert_eq(coding_list_parse(&list, HS_SPAN("gzip,gzip,br,zstd")).code, HS_E_LIMIT);
}

/* ---- each decoder ---- */

Test(http_coding, each_decoder_takes_its_bytes_in_any_split_and_any_room)
{
    static const size_t rooms[] = {1, 2, 63, 4096};
    const hs_span want = hs_span_of(plain, 300);
    for (way w = 0; w < WAYS; w++) {
        hs_span in = span_of(code(w, want));
        for (size_t at = 0; at <= in.len; at++) {
            for (size_t i = 0; i < HS_ARRAY_LEN(rooms); i++)
                expect(way_names[w], in, at, rooms[i], want);
        }
        expect(way_names[w], in, 0, 300, want);
    }
}

Test(http_coding, each_decoder_takes_single_bytes)
{
    const hs_span want = hs_span_of(plain, sizeof plain);
    for (way w = 0; w < WAYS; w++) {
        const coded *c = code(w, want);
        coding_list list = list_of(way_names[w]);
        coding *d;
        size_t len = 0;
        cr_assert(hs_ok(coding_open(&d, hs_mem_system(), &list, &no_limits)));
        for (size_t i = 0; i < c->len; i++) {
            cr_assert_eq(coding_end(d).code, i == 0 ? 0 : HS_E_TRUNCATED);
            cr_assert(hs_ok(drain(d, hs_span_of(c->bytes + i, 1), 4096, &len)));
        }
        cr_assert(hs_ok(coding_end(d)));
        cr_assert(hs_span_eq(hs_span_of(got, len), want));
        coding_close(d);
    }
}

Test(http_coding, what_decodes_to_nothing_is_fine)
{
    for (way w = 0; w < WAYS; w++) {
        expect(way_names[w], span_of(code(w, HS_SPAN(""))), 0, 16, HS_SPAN(""));
        expect(way_names[w], HS_SPAN(""), 0, 16, HS_SPAN(""));
    }
    expect("gzip, br, zstd", HS_SPAN(""), 0, 16, HS_SPAN(""));
}

Test(http_coding, cut_off_anywhere_is_truncated)
{
    const hs_span want = hs_span_of(plain, 300);
    for (way w = 0; w < WAYS; w++) {
        hs_span in = span_of(code(w, want));
        for (size_t at = 1; at < in.len; at++)
            expect_err(way_names[w], hs_span_of(in.ptr, at), HS_E_TRUNCATED);
    }
}

Test(http_coding, what_follows_the_end_is_an_error)
{
    for (way w = 0; w < WAYS; w++) {
        static coded c;
        c = *code(w, hs_span_of(plain, 100));
        c.bytes[c.len] = 'x';
        c.bytes[c.len + 1] = 'x';
        expect_err(way_names[w], hs_span_of(c.bytes, c.len + 1), HS_E_CODING);
        expect_err(way_names[w], hs_span_of(c.bytes, c.len + 2), HS_E_CODING);
        memset(c.bytes + c.len, 0, 4);
        expect_err(way_names[w], hs_span_of(c.bytes, c.len + 4), HS_E_CODING);
        c.bytes[c.len] = 0x1f; /* as another member of gzip begins */
        expect_err(way_names[w], hs_span_of(c.bytes, c.len + 1),
                   w == GZIP ? HS_E_TRUNCATED : HS_E_CODING);
        memcpy(c.bytes + c.len, "\x27\xb5\x2f\xfd", 4); /* as zstd 0.7 began */
        expect_err(way_names[w], hs_span_of(c.bytes, c.len + 4), HS_E_CODING);
    }
}

/* Whether every changed byte is found out is the format's affair: gzip's and zlib's checksums find
 * all of them. Nothing else may come of it than the wrong text or an error. */
Test(http_coding, changed_bytes_are_found_out_or_give_some_text)
{
    const hs_span want = hs_span_of(plain, 300);
    for (way w = 0; w < WAYS; w++) {
        static coded c;
        c = *code(w, want);
        for (size_t i = 0; i < c.len; i++) {
            size_t len;
            uint8_t before = c.bytes[i];
            c.bytes[i] ^= 0x55;
            coding_limits limits = {.bytes_max = 60000};
            hs_err err = decode_from(hs_mem_system(), way_names[w], &limits,
                                     hs_span_of(c.bytes, c.len), 0, 4096, &len);
            cr_assert(hs_ok(err) || err.code == HS_E_CODING || err.code == HS_E_TRUNCATED ||
                          err.code == HS_E_LIMIT,
                      "%s", hs_err_name(err));
            /* Of gzip's header the time and the system do not matter. */
            bool checked = w == ZLIB || (w == GZIP && (i < 4 || i > 9));
            cr_assert(!hs_ok(err) || !checked, "byte %zu", i);
            c.bytes[i] = before;
        }
    }
}

Test(http_coding, other_formats_are_not_taken)
{
    expect_err("gzip", span_of(code(ZLIB, HS_SPAN("x"))), HS_E_CODING);
    expect_err("gzip", HS_SPAN("plain text"), HS_E_CODING);
    expect_err("deflate", span_of(code(GZIP, hs_span_of(plain, 100))), HS_E_CODING);
    expect_err("zstd", span_of(code(GZIP, HS_SPAN("x"))), HS_E_CODING);
    /* zstd 0.7's magic number, which the library may know. */
    expect_err("zstd", HS_SPAN("\x27\xb5\x2f\xfd\x00\x00\x00\x00\x00"), HS_E_CODING);
    /* brotli's large window */
    expect_err("br", HS_SPAN("\x11\x18\x03\x03\x03\x03"), HS_E_CODING);
    /* a preset dictionary of zlib */
    expect_err("deflate", HS_SPAN("\x78\xbb\x00\x00\x00\x01\x03\x00"), HS_E_CODING);
}

/* ---- more than one stream ---- */

static void expect_two(way w, bool allowed)
{
    static coded c;
    c.len = 0;
    add(&c, w, hs_span_of(plain, 50));
    size_t first = c.len;
    add(&c, w, hs_span_of(plain + 50, 70));
    if (!allowed) {
        expect_err(way_names[w], span_of(&c), HS_E_CODING);
        return;
    }
    for (size_t at = 0; at <= c.len; at++)
        expect(way_names[w], span_of(&c), at, 50, hs_span_of(plain, 120));
    expect_err(way_names[w], hs_span_of(c.bytes, first + 3), HS_E_TRUNCATED);
    expect_err(way_names[w], hs_span_of(c.bytes, c.len - 1), HS_E_TRUNCATED);
}

Test(http_coding, gzip_has_members_and_zstd_has_frames)
{
    expect_two(GZIP, true);
    expect_two(ZSTD, true);
    expect_two(ZLIB, false);
    expect_two(RAW, false);
    expect_two(BR, false);
}

Test(http_coding, zstd_skips_frames_of_others)
{
    static coded c;
    c.len = 0;
    static const uint8_t skipped[] = {0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
    memcpy(c.bytes, skipped, sizeof skipped);
    c.len = sizeof skipped;
    expect("zstd", span_of(&c), 5, 16, HS_SPAN(""));
    add_zstd(&c, hs_span_of(plain, 50));
    memcpy(c.bytes + c.len, skipped, sizeof skipped);
    c.len += sizeof skipped;
    for (size_t at = 0; at <= c.len; at++)
        expect("zstd", span_of(&c), at, 16, hs_span_of(plain, 50));
    expect_err("zstd", hs_span_of(c.bytes, c.len - 1), HS_E_TRUNCATED);
    c.bytes[2] = 0x4e;
    expect_err("zstd", span_of(&c), HS_E_CODING);
}

/* A frame's header with a window of 2^log (RFC 8878 section 3.1.1.1.2), and an empty last block. */
static hs_err window(unsigned log)
{
    uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0, (uint8_t)((log - 10) << 3), 1, 0, 0};
    size_t len;
    return decode("zstd", hs_span_of(frame, sizeof frame), &len);
}

Test(http_coding, a_window_of_zstd_is_at_most_8_mib)
{
    cr_assert(hs_ok(window(10)));
    cr_assert(hs_ok(window(23)));
    cr_assert_eq(window(24).code, HS_E_CODING);
    cr_assert_eq(window(31).code, HS_E_CODING);
}

/* ---- on top of each other ---- */

static const char *const pile_names = "deflate, br, zstd";

static const coded *pile(hs_span in)
{
    static coded c[3];
    c[0] = *code(RAW, in);
    c[1] = *code(BR, span_of(&c[0]));
    c[2] = *code(ZSTD, span_of(&c[1]));
    return &c[2];
}

Test(http_coding, codings_are_taken_off_from_the_last_one_on)
{
    hs_span in = span_of(pile(hs_span_of(plain, sizeof plain)));
    for (size_t at = 0; at <= in.len; at += 97)
        expect(pile_names, in, at, 5000, hs_span_of(plain, sizeof plain));
    expect_err(pile_names, hs_span_of(in.ptr, in.len - 1), HS_E_TRUNCATED);
    expect_err("br, deflate, zstd", in, HS_E_CODING);
    /* The outer one is whole, and the inner one is not. */
    static coded cut, outer;
    cut = *code(GZIP, hs_span_of(plain, 300));
    cut.len -= 4;
    outer = *code(ZSTD, span_of(&cut));
    expect_err("gzip, zstd", span_of(&outer), HS_E_TRUNCATED);
}

Test(http_coding, an_inner_decoder_may_wait_for_long)
{
    static coded inner, outer;
    inner = *code(ZSTD, hs_span_of(plain, 2000));
    outer.len = 0;
    for (size_t i = 0; i < inner.len && i < 40; i++) {
        for (int empty = 0; empty < 20; empty++)
            add(&outer, GZIP, HS_SPAN(""));
        add(&outer, GZIP, hs_span_of(inner.bytes + i, 1));
    }
    add(&outer, GZIP, hs_span_of(inner.bytes + 40, inner.len - 40));
    coding_list list = list_of("zstd, gzip");
    coding *c;
    size_t len = 0;
    cr_assert(hs_ok(coding_open(&c, hs_mem_system(), &list, &no_limits)));
    for (size_t i = 0; i < outer.len; i++)
        cr_assert(hs_ok(drain(c, hs_span_of(outer.bytes + i, 1), 4096, &len)));
    cr_assert(hs_ok(coding_end(c)));
    cr_assert(hs_span_eq(hs_span_of(got, len), hs_span_of(plain, 2000)));
    coding_close(c);
}

/* ---- limits ---- */

static hs_err bounded(const char *names, hs_span in, uint64_t bytes_max, uint64_t slack,
                      uint32_t ratio)
{
    coding_limits limits = {bytes_max, slack, ratio};
    size_t len;
    return decode_from(hs_mem_system(), names, &limits, in, 0, 100, &len);
}

Test(http_coding, plain_bytes_are_limited)
{
    for (way w = 0; w < WAYS; w++) {
        hs_span in = span_of(code(w, hs_span_of(plain, 1000)));
        cr_assert(hs_ok(bounded(way_names[w], in, 1000, 0, 0)));
        cr_assert_eq(bounded(way_names[w], in, 999, 0, 0).code, HS_E_LIMIT);
    }
}

Test(http_coding, a_bomb_is_defused)
{
    static uint8_t zeros[PLAIN_MAX];
    for (way w = 0; w < WAYS; w++) {
        hs_span in = span_of(code(w, hs_span_of(zeros, sizeof zeros)));
        cr_assert_lt(in.len, sizeof zeros / 100);
        cr_assert_eq(bounded(way_names[w], in, 0, 1000, 50).code, HS_E_LIMIT);
        cr_assert(hs_ok(bounded(way_names[w], in, 0, sizeof zeros, 50)));
        cr_assert(hs_ok(bounded(way_names[w], in, 0, 1000, sizeof zeros)));
        cr_assert(hs_ok(bounded(way_names[w], in, 0, 0, 0)));
    }
}

Test(http_coding, a_bomb_that_ends_inside_is_defused_as_well)
{
    /* Two thousand members of nothing come down to little. */
    static coded inner, outer;
    inner.len = 0;
    for (int i = 0; i < 2000; i++)
        add(&inner, GZIP, HS_SPAN(""));
    outer = *code(GZIP, span_of(&inner));
    cr_assert_lt(outer.len * 50, inner.len);
    cr_assert_eq(bounded("gzip, gzip", span_of(&outer), 0, 1000, 50).code, HS_E_LIMIT);
    cr_assert(hs_ok(bounded("gzip, gzip", span_of(&outer), 0, 0, 0)));
}

/* ---- memory ---- */

static hs_span scene_in;
static const char *scene_names;

static hs_err scene(const hs_mem *mem)
{
    size_t len;
    return decode_from(mem, scene_names, &no_limits, scene_in, scene_in.len / 2, 512, &len);
}

Test(http_coding, each_allocation_may_fail)
{
    for (way w = 0; w < WAYS; w++) {
        scene_names = way_names[w];
        scene_in = span_of(code(w, hs_span_of(plain, 20000)));
        cr_assert_gt(fault_each(scene, false), 2, "%s", way_names[w]);
    }
    scene_names = pile_names;
    scene_in = span_of(pile(hs_span_of(plain, 20000)));
    cr_assert_gt(fault_each(scene, false), 6);
}

Test(http_coding, a_decoder_may_be_closed_at_any_time)
{
    hs_span in = span_of(pile(hs_span_of(plain, 1000)));
    coding_list list = list_of(pile_names);
    for (size_t at = 0; at <= in.len; at += 7) {
        fault_mem f;
        fault_init(&f, 0, false);
        coding *c;
        size_t len = 0;
        cr_assert(hs_ok(coding_open(&c, &f.mem, &list, &no_limits)));
        cr_assert(hs_ok(drain(c, hs_span_of(in.ptr, at), 64, &len)));
        coding_close(c);
        cr_assert_eq(f.pieces_out, 0);
    }
    coding_close(NULL);
}
