/* A crawler, and a site of 1,000 pages for it. cc crawler.c $(pkg-config --cflags --libs
 * httpshard)
 *
 *   ./crawler [DEPTH [LIMIT [MS]]]
 *
 * Follows links to DEPTH (10): first one fetch at a time, then LIMIT (32) side by side. Each answer
 * of the site comes after MS (2) milliseconds that a timer counts, as if it were far away. Each
 * page is fetched once, by the URL that its link means: "../7/", "/site/7/" and "/site/./7/#end"
 * are one. Redirections are links, too, so one that leads back to itself ends by itself. */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <httpshard/hs_app.h>
#include <httpshard/hs_fetch.h>
#include <httpshard/hs_map.h>
#include <httpshard/hs_url.h>

#define PAGES 1000
#define CHILDREN 4
#define LIMIT_MAX 256
#define LINKS_MAX 4096 /* that one crawl follows */
#define PAGE_BYTES_MAX 65536
#define URLS_BYTES_MAX (4 * 1024 * 1024)

/* ---- the site: a tree of pages, and a few links that lead nowhere ---- */

/* Of one shard. */
static struct {
    uint32_t pages[PAGES]; /* how often each was asked for */
    uint32_t requests, now, most;
    uint64_t answer_ms;
} site;

/* Every page links to its children in one of four ways, and to some that it is not the first to
 * link to: itself, its parent and the first page. */
static size_t write_page(char *out, size_t cap, unsigned n)
{
    static const struct {
        const char *before, *after;
    } ways[CHILDREN] = {{"\"../", "/\""},
                        {"\"/site/", "/\""},
                        {"\"./../../site/", "/#end\""},
                        {"'/site/x/../", "/'"}};
    size_t len = (size_t)snprintf(out, cap,
                                  "<!doctype html><title>Page %u</title>\n<a href=\"#top\">"
                                  "<a href=\"../%u/\"><a href=\"/site/0/\">\n",
                                  n, n > 0 ? (n - 1) / CHILDREN : 0);
    for (unsigned i = 0; i < CHILDREN && CHILDREN * n + i + 1 < PAGES; i++)
        len += (size_t)snprintf(out + len, cap - len, "<a href=%s%u%s>", ways[i].before,
                                CHILDREN * n + i + 1, ways[i].after);
    const char *odd = n == 1   ? "<a href=\"../nowhere/\">"
                      : n == 2 ? "<a href=\"/loop/0\">"
                      : n == 3 ? "<a href=\"/cut\">"
                      : n == 4 ? "<a href=\"mailto:x@y.test\"><a href=\"http://y.test/\">"
                               : "";
    return len + (size_t)snprintf(out + len, cap - len, "%s\n", odd);
}

/* Every answer of the site begins with this. */
static hs_err answer_late(hs_req *req)
{
    site.requests++;
    if (++site.now > site.most)
        site.most = site.now;
    hs_err err = hs_await(hs_sleep(hs_req_shard(req), site.answer_ms, hs_req_cancel(req)), NULL);
    site.now--;
    return err;
}

static hs_err page(hs_req *req, hs_res *res, void *ctx)
{
    char text[1024];
    uint64_t n;
    (void)ctx;
    HS_TRY(answer_late(req));
    hs_span tail = hs_req_tail(req);
    if (tail.len > 0)
        tail.len--; /* the slash */
    if (!hs_span_u64(tail, PAGES - 1, &n)) {
        hs_res_text(res, 404, HS_SPAN("no such page\n"));
        return HS_OK;
    }
    site.pages[n]++;
    hs_res_text(res, 200, hs_span_of(text, write_page(text, sizeof text, (unsigned)n)));
    return HS_OK;
}

/* /loop/0 and /loop/1 send to each other. */
static hs_err loop(hs_req *req, hs_res *res, void *ctx)
{
    bool first = hs_span_eq(hs_req_tail(req), HS_SPAN("0"));
    (void)ctx;
    HS_TRY(answer_late(req));
    HS_TRY(hs_res_header(res, HS_SPAN("Location"), first ? HS_SPAN("1") : HS_SPAN("0")));
    hs_res_text(res, 302, HS_SPAN(""));
    return HS_OK;
}

/* An answer that does not come to its end. It is not counted: a client whose connection is reset
 * before it saw the answer begin may ask once more. */
static hs_err cut(hs_req *req, hs_res *res, void *ctx)
{
    (void)req, (void)ctx;
    HS_TRY(hs_res_begin(res, 200, 1000));
    HS_TRY(hs_res_write(res, HS_SPAN("<a href=\"/site/0/\">")));
    return hs_err_of(HS_E_CLOSED);
}

static hs_app *site_start(uint64_t answer_ms)
{
    hs_app_options o;
    hs_addr addr;
    memset(&site, 0, sizeof site);
    site.answer_ms = answer_ms;
    hs_app_options_init(&o);
    hs_app *app = hs_app_create();
    if (!app || !hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:0"))))
        return NULL;
    hs_app_get_async(app, "/site/*", page, NULL);
    hs_app_get_async(app, "/loop/*", loop, NULL);
    hs_app_get_async(app, "/cut", cut, NULL);
    o.cores = 1;
    o.listen = &addr;
    o.listen_len = 1;
    o.log_level = HS_LOG_ERROR;
    return hs_ok(hs_app_start(app, &o)) ? app : NULL;
}

/* ---- the crawler ---- */

typedef struct crawl {
    uint32_t depth_max, limit;
    char root[64];
    hs_client *client;
    hs_url base;               /* of the root: nobody leaves its origin */
    hs_arena urls;             /* the text of all that were seen */
    hs_map seen;               /* the same */
    hs_span queue[LINKS_MAX];  /* in the order in which they were found */
    uint32_t next, end, found; /* of the queue: [next, end) is the level that is fetched now */
    bool deepest;              /* links of this level are not followed */
    uint32_t pages, duplicates, redirections, failed;
    double seconds;
    sem_t done;
} crawl;

/* Follow a link of the page `from`, unless somebody did, or it leads out of the site. */
static hs_err follow(crawl *c, const hs_url *from, hs_arena *scratch, hs_span link)
{
    hs_url url;
    hs_span text;
    hs_err err = hs_url_parse(&url, scratch, link, from);
    if (err.code == HS_E_USAGE || (hs_ok(err) && !hs_url_same_origin(&url, &c->base)))
        return HS_OK; /* no URL, or somebody else's */
    HS_TRY(err);
    HS_TRY(hs_url_text(&url, scratch, false, &text));
    if (hs_map_get(&c->seen, text)) {
        c->duplicates++;
        return HS_OK;
    }
    if (c->found == LINKS_MAX)
        return hs_err_of(HS_E_LIMIT);
    HS_TRY(hs_arena_copy(&c->urls, text, &text));
    HS_TRY(hs_map_set(&c->seen, text, c, NULL));
    c->queue[c->found++] = text;
    return HS_OK;
}

/* What stands in quotes behind each href= of a page. */
static hs_err follow_all(crawl *c, const hs_url *from, hs_arena *scratch, const char *html)
{
    for (const char *at = html; (at = strstr(at, "href=")) != NULL;) {
        at += strlen("href=");
        const char *end = *at == '"' || *at == '\'' ? strchr(at + 1, *at) : NULL;
        if (!end)
            continue;
        HS_TRY(follow(c, from, scratch, hs_span_of(at + 1, (size_t)(end - at - 1))));
        at = end;
    }
    return HS_OK;
}

/* It does not stop the others. */
static void failed(crawl *c, hs_span url, hs_span why)
{
    c->failed++;
    fprintf(stderr, "crawler: %.*s: %.*s\n", (int)url.len, (const char *)url.ptr, (int)why.len,
            (const char *)why.ptr);
}

static hs_err take_response(crawl *c, hs_fetch_res *res, hs_arena *scratch)
{
    const hs_span *body;
    hs_url from;
    HS_TRY(hs_url_parse(&from, scratch, res->url, NULL));
    hs_span location = hs_fetch_header(res, HS_SPAN("Location"));
    if (res->status / 100 == 3 && location.len > 0) {
        c->redirections++;
        return c->deepest ? HS_OK : follow(c, &from, scratch, location);
    }
    if (res->status != 200) {
        failed(c, res->url, hs_status_reason(res->status));
        return HS_OK;
    }
    HS_TRY(hs_await(hs_fetch_text(res, PAGE_BYTES_MAX), &body));
    c->pages++;
    return c->deepest ? HS_OK : follow_all(c, &from, scratch, (const char *)body->ptr);
}

/* One of `limit` fibers: fetches what is next in the queue until the level is done. */
static hs_err work(void *arg)
{
    crawl *c = arg;
    hs_fetch_options o = {.redirect = HS_FETCH_MANUAL, .cancel = hs_fiber_cancel()};
    while (c->next < c->end) {
        hs_span url = c->queue[c->next++];
        hs_fetch_res *res;
        hs_arena scratch;
        hs_err err = hs_await(hs_fetch(c->client, url, &o), &res);
        if (hs_ok(err)) {
            hs_arena_init(&scratch, c->urls.pool, URLS_BYTES_MAX);
            err = take_response(c, res, &scratch);
            hs_arena_reset(&scratch);
            hs_fetch_res_free(res);
        }
        if (!hs_ok(err))
            failed(c, url, hs_span_str(hs_err_text(err)));
    }
    return HS_OK;
}

/* Level by level, so that every page is found by its shortest way. */
static hs_err crawl_levels(void *arg)
{
    crawl *c = arg;
    hs_promise *workers[LIMIT_MAX];
    hs_shard *shard = hs_shard_self();
    hs_arena *urls = &c->urls;
    uint64_t start_ns = hs_shard_now_ns(shard);
    HS_TRY(hs_url_parse(&c->base, urls, hs_span_str(c->root), NULL));
    HS_TRY(follow(c, NULL, urls, hs_span_str(c->root)));
    for (uint32_t depth = 0; depth <= c->depth_max && c->next < c->found; depth++) {
        c->deepest = depth == c->depth_max;
        c->end = c->found;
        for (uint32_t i = 0; i < c->limit; i++)
            workers[i] = hs_fiber_start(shard, "crawl", work, c, hs_fiber_cancel());
        HS_TRY(hs_await(hs_all(shard, workers, c->limit), NULL));
    }
    c->seconds = (double)(hs_shard_now_ns(shard) - start_ns) / 1e9;
    return HS_OK;
}

static hs_err over(void *arg)
{
    crawl *c = arg;
    hs_err err = hs_await(hs_fiber_start(hs_shard_self(), "levels", crawl_levels, c, NULL), NULL);
    if (!hs_ok(err))
        fprintf(stderr, "crawler: %s\n", hs_err_text(err));
    hs_client_destroy(c->client);
    sem_post(&c->done);
    return HS_OK;
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    crawl *c = ctx;
    uint64_t seed[2] = {hs_shard_random(shard), hs_shard_random(shard)};
    hs_client_options o = {.conns_per_origin = c->limit};
    HS_TRY(hs_client_create(shard, &o, &c->client));
    hs_arena_init(&c->urls, hs_shard_chunks(shard), URLS_BYTES_MAX);
    hs_map_init(&c->seen, hs_shard_mem(shard), LINKS_MAX, seed);
    hs_promise_drop(hs_fiber_start(shard, "crawler", over, c, NULL));
    return HS_OK;
}

static void on_end(hs_shard *shard, void *ctx)
{
    crawl *c = ctx;
    (void)shard;
    hs_map_fini(&c->seen);
    hs_arena_reset(&c->urls);
}

/* ---- both ---- */

/* One crawl of a new site. Returns how long it took, in seconds; 0: it did not. */
static double crawl_site(uint32_t depth_max, uint32_t limit, uint64_t answer_ms)
{
    static crawl c;
    hs_group *group;
    hs_group_options o;
    uint32_t again = 0;
    char addr[HS_ADDR_TEXT_BYTES];
    hs_app *app = site_start(answer_ms);
    if (!app)
        return 0;
    c = (crawl){.depth_max = depth_max, .limit = limit};
    snprintf(c.root, sizeof c.root, "http://%s/site/0/",
             hs_addr_format(hs_app_listen_addr(app, 0), addr));
    sem_init(&c.done, 0, 0);
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_ERROR;
    o.start = on_start;
    o.end = on_end;
    o.ctx = &c;
    if (!hs_ok(hs_group_start(&o, &group)))
        return 0;
    while (sem_wait(&c.done) != 0 && errno == EINTR)
        continue;
    hs_group_stop(group);
    hs_group_join(group);
    hs_app_stop(app);
    hs_app_join(app);
    hs_app_destroy(app);
    for (uint32_t i = 0; i < PAGES; i++)
        again += site.pages[i] > 1;
    printf("at most %u at a time: %u pages, %u duplicates, %u redirections, %u failed, %.3f s\n",
           limit, c.pages, c.duplicates, c.redirections, c.failed, c.seconds);
    printf("  the site: %u requests, %u of them at once, %u pages asked for again\n", site.requests,
           site.most, again);
    return c.seconds;
}

int main(int argc, char **argv)
{
    uint64_t depth_max = 10, limit = 32, ms = 2;
    if (argc > 4 || (argc > 1 && !hs_span_u64(hs_span_str(argv[1]), 1000, &depth_max)) ||
        (argc > 2 && !hs_span_u64(hs_span_str(argv[2]), LIMIT_MAX, &limit)) || limit == 0 ||
        (argc > 3 && !hs_span_u64(hs_span_str(argv[3]), 10000, &ms))) {
        fprintf(stderr, "usage: crawler [DEPTH [LIMIT [MS]]]\n");
        return 2;
    }
    double one = crawl_site((uint32_t)depth_max, 1, ms);
    double many = crawl_site((uint32_t)depth_max, (uint32_t)limit, ms);
    if (one <= 0 || many <= 0)
        return 1;
    printf("speed-up: %.1f\n", one / many);
    return 0;
}
