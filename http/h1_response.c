/* What a response's head has that a request's has not: the status line, and the framing that
 * depends on the status and on the request (RFC 9112 sections 4 and 6.3).
 *
 * Must not know: fields, how lines are found. Tested by: tests/unit/http_h1_response.c; fuzzed by
 * tests/fuzz/fuzz_h1_head.c. */
#include "class.h"
#include "h1_parse.h"
#include "hs_assert.h"

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* "HTTP/1.d ddd ", as far as it is there. */
static h1_result status_start(h1_head *head, const uint8_t *p, size_t len)
{
    static const char pattern[] = "HTTP/0.0 000 "; /* '0': any digit */
    size_t most = sizeof(pattern) - 1;
    for (size_t i = 0; i < most; i++) {
        if (i == len)
            return H1_MORE;
        bool fits = pattern[i] == '0' ? is_digit(p[i]) : p[i] == (uint8_t)pattern[i];
        /* The space before a reason that is not there is left out by some. */
        fits |= i == most - 1 && p[i] == '\r';
        if (!fits)
            return h1_bad(head, 400, "no status line");
    }
    if (p[5] != '1')
        return h1_bad(head, 505, "major version is not 1");
    uint32_t status = (uint32_t)(p[9] - '0') * 100 + (uint32_t)(p[10] - '0') * 10 + (p[11] - '0');
    if (status < 100 || status > 599)
        return h1_bad(head, 400, "status out of range");
    head->minor = p[7] == '0' ? 0 : 1;
    head->status = (uint16_t)status;
    return H1_DONE;
}

h1_result h1_status_line(h1_head *head, const uint8_t *base, size_t len)
{
    HS_ASSERT(head->state == H1_STATE_RESPONSE);
    HS_ASSERT(head->at == 0);
    h1_result r = status_start(head, base, len);
    if (r != H1_DONE)
        return r;
    const uint8_t *p = base + 12, *end = base + len;
    if (*p == ' ')
        p++;
    const uint8_t *reason = p;
    while (p < end && !class_is(*p, CLASS_CTL))
        p++;
    if (p == end)
        return H1_MORE;
    if (*p != '\r')
        return h1_bad(head, 400, "control byte in the reason phrase");
    if (end - p < 2)
        return H1_MORE;
    if (p[1] != '\n')
        return h1_bad(head, 400, "bare CR in the status line");
    head->target_at = (uint16_t)(reason - base);
    head->target_len = (uint16_t)(p - reason);
    head->at = (uint32_t)(p + 2 - base);
    head->state = H1_STATE_FIELDS;
    return H1_DONE;
}

void h1_finish_response(h1_head *head)
{
    HS_ASSERT(head->status >= 100);
    bool interim = head->status < 200 && head->status != 101;
    bool bodiless = head->status < 200 || head->status == 204 || head->status == 304;
    if (head->method == HS_METHOD_CONNECT && head->status / 100 == 2)
        head->body = H1_BODY_TUNNEL;
    else if (bodiless || head->method == HS_METHOD_HEAD)
        head->body = H1_BODY_NONE;
    else if (head->body == H1_BODY_NONE)
        head->body = H1_BODY_CLOSE;
    if (head->body == H1_BODY_CLOSE || head->body == H1_BODY_TUNNEL || head->status == 101)
        head->keep_alive = false;
    if (interim)
        head->keep_alive = true; /* what counts comes with the final one */
}
