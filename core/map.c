/* The hash map.
 *
 * Owns: an open-addressed table with linear probing, a power of two long and at most three quarters
 * full. A removed key leaves no mark: those behind it move up, so that a table under constant
 * change does not silt up. Must not know: what keys and values are. Tested by:
 * tests/unit/core_map.c. */
#include "hs_map.h"

#include <errno.h>
#include <string.h>

#include "hs_assert.h"

/* The table starts with 512 bytes. Below 4 KiB it does not shrink, so that a map whose few keys
 * come and go does not go to the system for it. */
#define SLOTS_FIRST 16u
#define SLOTS_KEPT 128u

/* SipHash-c-d of J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF"
 * (INDOCRYPT 2012), with c = 1 round for each word and d = 3 at the end. */
typedef struct sip {
    uint64_t v0, v1, v2, v3;
} sip;

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v2 = rotate_left(s->v2, 32);
}

static void sip_word(sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

/* Up to eight bytes as a little-endian number, which is how both machines that we build for have it
 * in memory. */
static uint64_t load_le(const uint8_t *p, size_t len)
{
    HS_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
                     "bytes are in the order of the hash");
    HS_ASSERT(len <= sizeof(uint64_t));
    uint64_t word = 0;
    memcpy(&word, p, len);
    return word;
}

uint64_t hs_hash(hs_span bytes, const uint64_t seed[2])
{
    HS_ASSERT(seed);
    HS_ASSERT(bytes.ptr || bytes.len == 0);
    sip s = {
        .v0 = seed[0] ^ UINT64_C(0x736f6d6570736575),
        .v1 = seed[1] ^ UINT64_C(0x646f72616e646f6d),
        .v2 = seed[0] ^ UINT64_C(0x6c7967656e657261),
        .v3 = seed[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t whole = bytes.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        sip_word(&s, load_le(bytes.ptr + i, 8));
    uint64_t last = bytes.len > whole ? load_le(bytes.ptr + whole, bytes.len - whole) : 0;
    sip_word(&s, last | (uint64_t)bytes.len << 56);
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

void hs_map_init(hs_map *m, const hs_mem *mem, uint32_t len_max, const uint64_t seed[2])
{
    HS_ASSERT(m && mem && seed);
    HS_ASSERT(len_max <= 1u << 30); /* so that the slots for it fit 32 bits */
    *m = (hs_map){.mem = mem, .len_max = len_max, .seed = {seed[0], seed[1]}};
}

void hs_map_fini(hs_map *m)
{
    HS_ASSERT(m);
    hs_mem_give(m->mem, m->slots, (size_t)m->cap * sizeof(*m->slots), HS_CACHE_LINE);
    *m = (hs_map){0};
}

/* Where `key` is, or the free slot where it would go. The table has a free slot. */
static uint32_t slot_find(const hs_map *m, hs_span key, uint64_t hash)
{
    HS_ASSERT(m->len < m->cap);
    uint32_t mask = m->cap - 1;
    uint32_t i = (uint32_t)hash & mask;
    while (m->slots[i].value) {
        if (m->slots[i].hash == hash && hs_span_eq(m->slots[i].key, key))
            break;
        i = (i + 1) & mask;
    }
    return i;
}

/* Move every key to a table of `cap` slots. False without memory; nothing changed. */
static HS_COLD bool map_resize(hs_map *m, uint32_t cap)
{
    HS_ASSERT((cap & (cap - 1)) == 0);
    HS_ASSERT(cap > m->len);
    size_t bytes = (size_t)cap * sizeof(*m->slots);
    hs_map_slot *slots = hs_mem_take_zero(m->mem, bytes, HS_CACHE_LINE);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < m->cap; i++) {
        if (!m->slots[i].value)
            continue;
        uint32_t to = (uint32_t)m->slots[i].hash & (cap - 1);
        while (slots[to].value)
            to = (to + 1) & (cap - 1);
        slots[to] = m->slots[i];
    }
    hs_mem_give(m->mem, m->slots, (size_t)m->cap * sizeof(*m->slots), HS_CACHE_LINE);
    m->slots = slots;
    m->cap = cap;
    return true;
}

/* Whether one more key would leave the table more than three quarters full. */
static bool map_is_full(const hs_map *m)
{
    return m->len >= m->cap / 4 * 3;
}

hs_err hs_map_set(hs_map *m, hs_span key, void *value, void **old)
{
    HS_ASSERT(value);
    HS_ASSERT(key.ptr || key.len == 0);
    uint64_t hash = hs_hash(key, m->seed);
    uint32_t i = m->cap ? slot_find(m, key, hash) : 0;
    void *was = m->cap ? m->slots[i].value : NULL;
    if (!was) {
        HS_ENSURE(m->len < m->len_max, HS_E_LIMIT);
        if (map_is_full(m)) {
            HS_ENSURE(map_resize(m, m->cap ? m->cap * 2 : SLOTS_FIRST), -ENOMEM);
            i = slot_find(m, key, hash);
        }
        m->len++;
    }
    /* The key too: the old one may live in what the caller is about to free. */
    m->slots[i] = (hs_map_slot){key, value, hash};
    if (old)
        *old = was;
    return HS_OK;
}

void *hs_map_get(const hs_map *m, hs_span key)
{
    HS_ASSERT(key.ptr || key.len == 0);
    if (m->len == 0)
        return NULL;
    return m->slots[slot_find(m, key, hs_hash(key, m->seed))].value;
}

/* Free slot `i`, moving up those behind it that may come closer to where their hash points. */
static void slot_free(hs_map *m, uint32_t i)
{
    uint32_t mask = m->cap - 1;
    HS_ASSERT(i <= mask);
    for (uint32_t j = (i + 1) & mask; m->slots[j].value; j = (j + 1) & mask) {
        uint32_t home = (uint32_t)m->slots[j].hash & mask;
        /* It may move to the hole unless its home lies behind the hole, on the way to it. */
        if (((j - home) & mask) >= ((j - i) & mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (hs_map_slot){0};
}

void *hs_map_remove(hs_map *m, hs_span key)
{
    HS_ASSERT(key.ptr || key.len == 0);
    if (m->len == 0)
        return NULL;
    uint32_t i = slot_find(m, key, hs_hash(key, m->seed));
    void *value = m->slots[i].value;
    if (!value)
        return NULL;
    slot_free(m, i);
    m->len--;
    if (m->cap > SLOTS_KEPT && m->len < m->cap / 8) {
        bool shrunk = map_resize(m, m->cap / 2); /* without memory it stays as it is */
        (void)shrunk;
    }
    return value;
}

void hs_map_each(const hs_map *m, void (*fn)(hs_span key, void *value, void *ctx), void *ctx)
{
    HS_ASSERT(fn);
    uint32_t len = m->len;
    for (uint32_t i = 0; i < m->cap; i++) {
        if (m->slots[i].value)
            fn(m->slots[i].key, m->slots[i].value, ctx);
        HS_ASSERT(m->len == len); /* `fn` left the map alone */
    }
}

void hs_map_validate(const hs_map *m)
{
    HS_ASSERT(m->len <= m->len_max);
    HS_ASSERT(!m->slots == (m->cap == 0));
    uint32_t len = 0;
    for (uint32_t i = 0; i < m->cap; i++) {
        const hs_map_slot *slot = &m->slots[i];
        if (!slot->value)
            continue;
        HS_ASSERT(slot->hash == hs_hash(slot->key, m->seed));
        HS_ASSERT(slot_find(m, slot->key, slot->hash) == i);
        len++;
    }
    HS_ASSERT(len == m->len);
    HS_ASSERT(m->cap == 0 || m->len <= m->cap / 4 * 3);
}
