/* From a field's name to its id, without a branch for each candidate.
 *
 * Owns: a perfect hash over the names that the server looks at. Must not know: values.
 * Tested by: tests/unit/http_words.c. Private to http. */
#pragma once

#include <string.h>

#include "hs_http.h"

#define FIELD_WORD_MAX 17 /* "transfer-encoding" */

typedef struct field_word {
    char name[FIELD_WORD_MAX + 5]; /* lower case */
    uint8_t len;                   /* 0: no name has this hash */
    uint8_t id;                    /* hs_field_id */
} field_word;

extern const field_word field_words[32];

static inline uint64_t field_load8(const void *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t field_load4(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint16_t field_load2(const void *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

/* The id of the name of `len` >= 1 bytes at `p`, which must all be token bytes: setting bit 5 makes
 * letters lower case and takes no other token byte to a letter or a hyphen. */
static inline uint8_t field_id(const uint8_t *p, size_t len)
{
    const uint64_t lower = UINT64_C(0x2020202020202020);
    const field_word *w = &field_words[(len + p[0]) & 31];
    if (w->len != len)
        return HS_FIELD_OTHER;
    uint64_t differs;
    if (len >= 8)
        differs = ((field_load8(p) | lower) ^ field_load8(w->name)) |
                  ((field_load8(p + len - 8) | lower) ^ field_load8(w->name + len - 8)) |
                  (len > 16 ? (uint64_t)((p[8] | 0x20) ^ (uint8_t)w->name[8]) : 0);
    else if (len >= 4)
        differs = ((field_load4(p) | (uint32_t)lower) ^ field_load4(w->name)) |
                  ((field_load4(p + len - 4) | (uint32_t)lower) ^ field_load4(w->name + len - 4));
    else
        differs = (uint64_t)((field_load2(p) | 0x2020) ^ field_load2(w->name));
    return differs == 0 ? w->id : HS_FIELD_OTHER;
}
