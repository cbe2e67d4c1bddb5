/* The classes of bytes that HTTP's grammar is made of: one table, one look-up.
 *
 * Owns: the table. Must not know: where in a message a byte stands.
 * Tested by: tests/unit/http_words.c, against the grammar written out. Private to http. */
#pragma once

#include "hs_base.h"

enum {
    CLASS_TOKEN = 1,  /* tchar (RFC 9110 section 5.6.2) */
    CLASS_TARGET = 2, /* of a path or query, but '%' and '?', which need a look (see below) */
    CLASS_HOST = 4, /* unreserved and sub-delims of a reg-name (RFC 3986 section 3.2.2), but '%' */
    CLASS_HEX = 8,
    CLASS_CTL = 16 /* never in a field value: 0x00 to 0x1f but HTAB, and 0x7f */
};

/* CLASS_TARGET has '[' and ']', which RFC 3986 keeps for IPv6 addresses: browsers send them bare in
 * queries ("?id[]=1"), and no two readers disagree about them. It has none of "#<>\^`{|}. */
extern const uint8_t class_table[256];

static inline bool class_is(uint8_t byte, uint8_t classes)
{
    return (class_table[byte] & classes) != 0;
}
