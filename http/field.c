/* Field names and values (RFC 9110 section 5), apart from any wire format.
 *
 * Owns: the table behind field.h. Must not know: messages. Tested by: tests/unit/http_words.c. */
#include "field.h"

#include "class.h"
#include "hs_assert.h"

#define WORD(text, field_)                                                                         \
    {                                                                                              \
        .name = text, .len = sizeof(text) - 1, .id = HS_FIELD_##field_                             \
    }

/* The place is (length + first byte) modulo 32: no two of these names share one, and upper and
 * lower case give the same, as they differ by 32. A new name may need another hash: the test tells.
 */
const field_word field_words[32] = {
    [5] = WORD("transfer-encoding", TRANSFER_ENCODING),
    [9] = WORD("cookie", COOKIE),
    [11] = WORD("expect", EXPECT),
    [12] = WORD("host", HOST),
    [13] = WORD("connection", CONNECTION),
    [14] = WORD("authorization", AUTHORIZATION),
    [15] = WORD("content-type", CONTENT_TYPE),
    [16] = WORD("accept-encoding", ACCEPT_ENCODING),
    [17] = WORD("content-length", CONTENT_LENGTH),
    [22] = WORD("te", TE),
    [27] = WORD("trailer", TRAILER),
    [28] = WORD("upgrade", UPGRADE),
    [31] = WORD("user-agent", USER_AGENT),
};

hs_field_id hs_field_parse(hs_span name)
{
    if (!hs_http_is_token(name))
        return HS_FIELD_OTHER;
    HS_ASSERT(name.len > 0);
    return (hs_field_id)field_id(name.ptr, name.len);
}

bool hs_http_is_token(hs_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!class_is(s.ptr[i], CLASS_TOKEN))
            return false;
    }
    return s.len > 0;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

bool hs_http_is_field_value(hs_span s)
{
    if (s.len == 0)
        return true;
    if (is_space(s.ptr[0]) || is_space(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (class_is(s.ptr[i], CLASS_CTL))
            return false;
    }
    return true;
}
