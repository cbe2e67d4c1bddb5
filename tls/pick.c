/* Which certificate and which protocol a client gets.
 *
 * Owns: the order of preference: the certificates for the very host, then those with a wildcard for
 * it, then the first one; among them the first whose signatures the client takes. Must not know:
 * how they were read. Tested by: tests/unit/tls_accept.c. */
#include "tls.h"

enum { NO_MATCH, MATCH_WILDCARD, MATCH_EXACT };

static int match_name(const tls_name *name, hs_span host)
{
    hs_span mine = hs_span_of(name->ptr, name->len);
    if (!name->wildcard)
        return hs_span_eq_nocase(mine, host) ? MATCH_EXACT : NO_MATCH;
    const uint8_t *dot = memchr(host.ptr, '.', host.len);
    if (!dot || dot == host.ptr)
        return NO_MATCH;
    hs_span rest = hs_span_from(host, (size_t)(dot - host.ptr));
    return hs_span_eq_nocase(mine, rest) ? MATCH_WILDCARD : NO_MATCH;
}

static int match_slot(const tls_slot *slot, hs_span host)
{
    int best = NO_MATCH;
    for (uint32_t i = 0; i < slot->names_len && best < MATCH_EXACT; i++)
        best = HS_MAX(best, match_name(&slot->names[i], host));
    return best;
}

const tls_slot *tls_pick(const hs_tls_ctx *ctx, const tls_hello *hello)
{
    const tls_slot *best = NULL;
    int best_score = -1;
    hs_span host = hello->sni;
    HS_ASSERT(ctx->slots_len > 0);
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    for (uint32_t i = 0; i < ctx->slots_len; i++) {
        const tls_slot *slot = &ctx->slots[i];
        /* The host weighs more than what the client can check: a wrong name helps nobody. */
        int score = 4 * (host.len > 0 ? match_slot(slot, host) : NO_MATCH);
        score += (slot->kind & hello->keys) != 0;
        if (score > best_score) {
            best = slot;
            best_score = score;
        }
    }
    return best;
}

int tls_pick_alpn(const hs_tls_ctx *ctx, const tls_hello *hello)
{
    if (ctx->alpn_len == 0 || hello->alpn.len == 0)
        return -1;
    for (uint32_t i = 0; i < ctx->alpn_len; i++) {
        hs_span list = hello->alpn, theirs;
        while (tls_alpn_next(&list, &theirs))
            if (hs_span_eq(theirs, hs_span_of(ctx->alpn[i].text, ctx->alpn[i].len)))
                return (int)i;
    }
    return -2;
}
