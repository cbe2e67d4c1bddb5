/* Pairs of names and values as forms and queries write them: application/x-www-form-urlencoded, by
 * the rules of URLSearchParams (URL Standard, section 5).
 *
 * Owns: writing and reading it. Bytes stay bytes: what is no UTF-8 is not replaced. Must not know:
 * URLs, messages. For a query: url.query = text, url.has_query = true.
 * Tested by: tests/unit/http_form.c. */
#pragma once

#include "hs_arena.h"

HS_BEGIN_DECLS

typedef struct hs_pair {
    hs_span name, value;
} hs_pair;

/* Write `len` pairs ("a=1&b=x+y"), in `arena`; *out is set. Letters, digits and "*-._" stay as they
 * are, a space becomes '+', every other byte "%XX". Shard: owner only. Errors: -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_form_encode(hs_arena *arena, const hs_pair *pairs, size_t len,
                                          hs_span *out);

/* Read the first pair of *rest, which is moved on behind it, with what was coded decoded in
 * `arena`. What has no '=' is a name with an empty value; nothing between two '&' is no pair; a '%'
 * without two digits is itself. Shard: owner only. Errors: HS_E_END (no pair is left), -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_form_next(hs_arena *arena, hs_span *rest, hs_pair *out);

/* Add the pair to a query, or to a form's text: `text` may be empty. *out is set, in `arena`.
 * Shard: owner only. Errors: -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_form_append(hs_arena *arena, hs_span text, hs_pair pair,
                                          hs_span *out);

HS_END_DECLS
