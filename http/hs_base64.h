/* Base64 (RFC 4648 section 4), and what HTTP's Basic authentication makes of it (RFC 7617).
 *
 * Owns: nothing; texts are made in an arena. Must not know: messages.
 * Tested by: tests/unit/http_proxy.c. */
#pragma once

#include "hs_arena.h"

HS_BEGIN_DECLS

/* How many bytes `bytes` become, with padding. */
#define HS_BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)

/* The Base64 form of `bytes`, with padding, in `arena`; *out is set. Shard: owner only.
 * Errors: -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_base64_encode(hs_arena *arena, hs_span bytes, hs_span *out);

/* The bytes that `text` stands for, in `arena`; *out is set. Strict: padded to a multiple of four,
 * no other byte, no bit behind the end. Shard: owner only. Errors: HS_E_USAGE (it is not so),
 * -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_base64_decode(hs_arena *arena, hs_span text, hs_span *out);

/* The value of Authorization for a name and a password, "Basic dTpw", in `arena`; *out is set.
 * Shard: owner only. Errors: HS_E_USAGE (a colon in the name, or a control byte in either),
 * -ENOMEM.
 */
HS_API HS_NODISCARD hs_err hs_basic_auth(hs_arena *arena, hs_span name, hs_span password,
                                         hs_span *out);

HS_END_DECLS
