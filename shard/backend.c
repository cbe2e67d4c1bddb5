/* Which backend a group runs on: see backend.h. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "epoll.h"

static const char *const names[] = {
    [HS_IO_AUTO] = "auto", [HS_IO_URING] = "uring", [HS_IO_EPOLL] = "epoll"};

bool hs_io_choice_parse(const char *text, hs_io_choice *out)
{
    HS_ASSERT(text != NULL);
    for (size_t i = 0; i < HS_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *out = (hs_io_choice)i;
        return true;
    }
    return false;
}

hs_err backend_choose(hs_io_choice wanted, uint32_t shards, backend *out)
{
    HS_ASSERT(wanted < HS_ARRAY_LEN(names));
    *out = (backend){.kind = wanted};
    const char *said = getenv("HS_IO");
    if (wanted == HS_IO_AUTO && said)
        HS_ENSURE(hs_io_choice_parse(said, &out->kind), HS_E_USAGE);
    if (out->kind == HS_IO_EPOLL)
        return HS_OK;
    hs_err err = uring_probe(shards, &out->uring, &out->why);
    out->fallback = out->kind == HS_IO_AUTO && !hs_ok(err);
    if (out->kind == HS_IO_URING && !hs_ok(err))
        return err;
    out->kind = hs_ok(err) ? HS_IO_URING : HS_IO_EPOLL;
    return HS_OK;
}

hs_err backend_create(const backend *b, const hs_mem *mem, hs_io **out)
{
    if (b->kind == HS_IO_URING)
        return uring_create(mem, &b->uring, out);
    HS_ASSERT(b->kind == HS_IO_EPOLL);
    return epoll_io_create(mem, out);
}

void backend_text(const backend *b, char *text, size_t bytes)
{
    int len = snprintf(text, bytes, "%s", names[b->kind]);
    HS_ASSERT(len > 0 && (size_t)len < bytes);
    if (b->kind != HS_IO_URING)
        return;
    snprintf(text + len, bytes - (size_t)len, " msg_ring=%s ring_fd=%s",
             b->uring.msg_ring ? "yes" : "no (eventfd)", b->uring.ring_fd ? "yes" : "no");
}

void backend_report(const backend *b, hs_err err, hs_log *log)
{
    if (err.code == HS_E_USAGE)
        hs_log_write(log, HS_LOG_ERROR, "HS_IO wants auto, uring or epoll");
    else if (!hs_ok(err))
        hs_log_write(log, HS_LOG_ERROR, "%s; to allow: %s", b->why.cause, b->why.remedy);
    else if (b->fallback)
        hs_log_write(log, HS_LOG_WARN, "%s: using epoll; to allow: %s", b->why.cause,
                     b->why.remedy);
}

bool backend_fall_back(backend *b, hs_io_choice wanted, hs_err err)
{
    bool said = getenv("HS_IO") != NULL;
    if (wanted != HS_IO_AUTO || said || b->kind != HS_IO_URING || err.code != -ENOMEM)
        return false;
    uring_explain(&b->why, "io_uring_setup", err.code);
    b->kind = HS_IO_EPOLL;
    b->fallback = true;
    return true;
}
