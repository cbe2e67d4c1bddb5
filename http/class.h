/* The classes of bytes that HTTP's grammar is made of: one table, one look-up.
 *
 * Owns: the table. Must not know: where in a message a byte stands.
 * Tested by: tests/unit/http_words.c, against the grammar written out. Private to http. */
#pragma once

#include "hs_base.h"

enum {
    CLASS_TOKEN = 1,  /* tchar (RFC 9110 section 5.6.2) */
    CLASS_TARGET = 2, /* of a path or query, but '?', which divides them (see below) */
    CLASS_HOST = 4, /* unreserved and sub-delims of a reg-name (RFC 3986 section 3.2.2), but '%' */
    CLASS_HEX = 8,
    CLASS_CTL = 16 /* never in a field value: 0x00 to 0x1f but HTAB, and 0x7f */
};

/* CLASS_TARGET has more than RFC 3986 has: browsers, curl and undici send "<>\^`{|}, '[' and ']', a
 * lone '%' and bytes from 0x80 up as they are (the URL standard encodes few of them in a query, and
 * curl none), nginx, node and Go take them, and no two readers disagree about where the target
 * ends. It has no control, no space, and no '#', behind which a fragment would begin. */
extern const uint8_t class_table[256];

static inline bool class_is(uint8_t byte, uint8_t classes)
{
    return (class_table[byte] & classes) != 0;
}
