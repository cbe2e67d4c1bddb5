/* Fuzzes the parser of addresses.
 *
 * Checked: what is taken is written as text that is taken again and means the same; what is refused
 * is refused with one of the two errors; an address is never longer than its struct. */
#include <stdlib.h>
#include <string.h>

#include "hs_addr.h"
#include "hs_assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_taken(const hs_addr *addr)
{
    char text[HS_ADDR_TEXT_BYTES], again_text[HS_ADDR_TEXT_BYTES];
    hs_addr again;
    HS_ASSERT(addr->len > 0 && addr->len <= sizeof addr->sa);
    HS_ASSERT(hs_addr_format(addr, text) == text);
    HS_ASSERT(strlen(text) < sizeof text);
    hs_err err = hs_addr_parse(&again, hs_span_str(text));
    HS_ASSERT(hs_ok(err));
    HS_ASSERT(hs_addr_eq(addr, &again));
    HS_ASSERT(again.len == addr->len);
    HS_ASSERT(hs_addr_port(&again) == hs_addr_port(addr));
    HS_ASSERT(strcmp(hs_addr_format(&again, again_text), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hs_addr addr;
    hs_err err = hs_addr_parse(&addr, hs_span_of(data, size));
    if (hs_ok(err))
        check_taken(&addr);
    else
        HS_ASSERT(err.code == HS_E_USAGE || err.code == HS_E_LIMIT);
    /* Whatever the system may call an address of a Unix socket. */
    memset(&addr, 0, sizeof addr);
    addr.sa.un.sun_family = AF_UNIX;
    size_t len = HS_MIN(size, sizeof addr.sa.un.sun_path);
    if (len > 0)
        memcpy(addr.sa.un.sun_path, data, len);
    addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    char text[HS_ADDR_TEXT_BYTES];
    HS_ASSERT(strlen(hs_addr_format(&addr, text)) <= 5 + len);
    HS_ASSERT(hs_addr_path(&addr).len <= len);
    return 0;
}
