/* Handlers that wait without holding their shard. cc async.c $(pkg-config --cflags --libs
 * httpshard)
 *
 *   GET  /wait/N    answers when somebody posts to /call/N: top to bottom, on a fiber
 *   GET  /chain/N   the same as a chain of promises
 *   GET  /both/N    waits for N and N + 1 at once, in whichever order they are called
 *   GET  /first/N   waits for N, for no longer than the 100 ms after which it answers 504
 *   POST /call/N    wakes all that wait for N on any shard, and tells how many they were
 *   GET  /sleep/MS  answers after a while
 *   GET  /primes/N  counts the primes below N, on a thread that may take its time
 *
 * Who waits is known to the shard that serves it; /call asks all shards. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <httpshard/hs_app.h>
#include <httpshard/hs_blocking.h>
#include <httpshard/hs_call.h>
#include <httpshard/hs_limits.h>

#define FIRST_MS 100
#define SLEEP_MS_MAX 60000
#define PRIMES_MAX 10000000

/* One that waits; in the memory of its request. */
typedef struct waiter {
    hs_list link;
    uint64_t number;
    hs_promise *promise;
    hs_cancel_hook hook;
} waiter;

static hs_list rooms[HS_SHARDS_MAX]; /* each is touched by its own shard alone */

static hs_list *room_of(hs_shard *shard)
{
    hs_list *room = &rooms[hs_shard_id(shard)];
    if (!room->next)
        hs_list_init(room);
    return room;
}

/* The client is gone, or waited too long. */
static void leave(hs_cancel_hook *hook, hs_err why)
{
    waiter *w = HS_CONTAINER_OF(hook, waiter, hook);
    hs_list_remove(&w->link);
    hs_promise_settle(w->promise, hs_error(why));
}

/* A promise of the call for `number`. */
static hs_promise *wait_for(hs_req *req, uint64_t number, hs_cancel *cancel)
{
    hs_shard *shard = hs_req_shard(req);
    waiter *w = hs_arena_take(hs_req_arena(req), sizeof *w);
    if (!w || !cancel)
        return hs_promise_settled(shard, hs_error(hs_err_of(-ENOMEM)));
    *w = (waiter){.number = number, .promise = hs_promise_create(shard)};
    if (!w->promise)
        return hs_promise_settled(shard, hs_error(hs_err_of(-ENOMEM)));
    hs_list_init(&w->link);
    hs_promise *promise = w->promise;
    hs_err err = hs_cancel_add(cancel, &w->hook, leave);
    if (hs_ok(err))
        hs_list_push_back(room_of(shard), &w->link);
    else
        hs_promise_settle(promise, hs_error(err));
    return promise;
}

/* The number at the end of the path; answers the request itself where there is none. */
static bool number_of(hs_req *req, hs_res *res, uint64_t max, uint64_t *number)
{
    if (hs_span_u64(hs_req_tail(req), max, number))
        return true;
    hs_res_text(res, 404, HS_SPAN("wants a number\n"));
    return false;
}

static void answer_number(hs_res *res, uint64_t number)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%" PRIu64 "\n", number);
    hs_res_text(res, 200, hs_span_of(text, (size_t)len));
}

/* ---- straight down, on a fiber ---- */

static hs_err wait(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t number;
    (void)ctx;
    if (!number_of(req, res, UINT32_MAX, &number))
        return HS_OK;
    hs_err err = hs_await(wait_for(req, number, hs_req_cancel(req)), NULL);
    if (hs_ok(err))
        hs_res_text(res, 200, HS_SPAN("called\n"));
    return err; /* an error answers, too: hs_http_run_async */
}

static hs_err both(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t number;
    (void)ctx;
    if (!number_of(req, res, UINT32_MAX, &number))
        return HS_OK;
    hs_cancel *cancel = hs_req_cancel(req);
    hs_promise *calls[] = {wait_for(req, number, cancel), wait_for(req, number + 1, cancel)};
    void *outcomes;
    hs_err err = hs_await(hs_all(hs_req_shard(req), calls, 2), &outcomes);
    if (!hs_ok(err))
        return err;
    hs_outcomes_free(outcomes);
    hs_res_text(res, 200, HS_SPAN("both called\n"));
    return HS_OK;
}

static hs_err first(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t number;
    (void)ctx;
    if (!number_of(req, res, UINT32_MAX, &number))
        return HS_OK;
    hs_shard *shard = hs_req_shard(req);
    hs_cancel *timeout = hs_cancel_after(shard, FIRST_MS);
    hs_cancel *either = hs_cancel_any(shard, (hs_cancel *[]){hs_req_cancel(req), timeout}, 2);
    hs_cancel_unref(timeout);
    hs_err err = hs_err_of(-ENOMEM);
    if (either)
        err = hs_await(wait_for(req, number, either), NULL);
    hs_cancel_unref(either);
    if (hs_ok(err))
        hs_res_text(res, 200, HS_SPAN("called\n"));
    return err; /* -ETIMEDOUT is answered with 504 */
}

static hs_err sleeps(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t ms;
    (void)ctx;
    if (!number_of(req, res, SLEEP_MS_MAX, &ms))
        return HS_OK;
    hs_err err = hs_await(hs_sleep(hs_req_shard(req), ms, hs_req_cancel(req)), NULL);
    if (hs_ok(err))
        hs_res_text(res, 200, HS_SPAN("slept\n"));
    return err;
}

/* ---- across shards ---- */

/* On each shard: the answer is how many it woke. */
static hs_outcome wake(void *arg)
{
    hs_list *room = room_of(hs_shard_self());
    uintptr_t number = (uintptr_t)arg, woken = 0;
    for (hs_list *l = room->next, *next; l != room; l = next) {
        waiter *w = HS_CONTAINER_OF(l, waiter, link);
        next = l->next;
        if (w->number != number)
            continue;
        hs_list_remove(&w->link);
        hs_cancel_remove(&w->hook);
        hs_promise_settle(w->promise, hs_value(NULL));
        woken++;
    }
    return hs_value((void *)woken);
}

static hs_err call(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t number, woken = 0;
    (void)ctx;
    if (!number_of(req, res, UINT32_MAX, &number))
        return HS_OK;
    void *value;
    hs_err err = hs_await(hs_call_all(wake, (void *)(uintptr_t)number), &value);
    if (!hs_ok(err))
        return err;
    hs_outcomes *all = value;
    for (uint32_t i = 0; i < all->len; i++)
        if (hs_ok(all->at[i].err))
            woken += (uintptr_t)all->at[i].value;
    hs_outcomes_free(all);
    answer_number(res, woken);
    return HS_OK;
}

/* ---- a long sum ---- */

static hs_outcome count_primes(void *arg)
{
    uintptr_t below = (uintptr_t)arg, found = 0;
    for (uintptr_t n = 2; n < below; n++) {
        uintptr_t d = 2;
        while (d * d <= n && n % d != 0)
            d++;
        found += d * d > n;
    }
    return hs_value((void *)found);
}

static hs_err primes(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t below;
    void *found;
    (void)ctx;
    if (!number_of(req, res, PRIMES_MAX, &below))
        return HS_OK;
    /* On a thread of the pool: here it would hold up every connection of this shard. */
    hs_err err = hs_await(hs_blocking_with(hs_req_shard(req), count_primes,
                                           (void *)(uintptr_t)below, NULL, hs_req_cancel(req)),
                          &found);
    if (hs_ok(err))
        answer_number(res, (uintptr_t)found);
    return err;
}

/* ---- a chain of promises ---- */

static hs_outcome greeting(void *ctx, void *value)
{
    static char text[] = "called\n";
    (void)ctx, (void)value;
    return hs_value(text);
}

static void answer(hs_req *req, hs_res *res, hs_outcome outcome, void *ctx)
{
    (void)req, (void)ctx;
    if (hs_ok(outcome.err))
        hs_res_text(res, 200, hs_span_str(outcome.value));
    else
        hs_res_text(res, 503, HS_SPAN("nobody called\n"));
}

static void chain(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t number;
    if (!number_of(req, res, UINT32_MAX, &number))
        return;
    hs_promise *called = wait_for(req, number, hs_req_cancel(req));
    hs_err err = hs_req_when(req, hs_then(called, greeting, NULL), answer, ctx);
    if (!hs_ok(err))
        hs_res_text(res, 503, HS_SPAN("no memory\n"));
}

int main(int argc, char **argv)
{
    hs_app *app = hs_app_create();
    hs_app_get_async(app, "/wait/*", wait, NULL);
    hs_app_get_async(app, "/both/*", both, NULL);
    hs_app_get_async(app, "/first/*", first, NULL);
    hs_app_get_async(app, "/sleep/*", sleeps, NULL);
    hs_app_get_async(app, "/primes/*", primes, NULL);
    hs_app_post_async(app, "/call/*", call, NULL);
    hs_app_get(app, "/chain/*", chain, NULL);
    return hs_app_main(app, argc, argv);
}
