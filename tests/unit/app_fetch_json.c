/* Responses as documents, on the sim backend: whatever their type says, whole, cut, cancelled, past
 * a limit, and without memory. */
#include <yyjson.h>

#include "fetch_rig.h"
#include "hs_json.h"

#define NAMED "{\"name\": \"J\xc3\xb6rg\", \"list\": [1, 2, [3]]}"

static char said[1024];

/* Each request is answered with `head` (lines that end with CR LF) and `body`. */
static void answer_with(const char *status, const char *head, const char *body)
{
    snprintf(said, sizeof said, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, head,
             strlen(body), body);
    r.answer = said;
}

static struct {
    uint32_t values, errors;
    yyjson_doc *doc;
    hs_err err;
    char text[280];
    hs_fetch_phase phase;
} j;

static hs_outcome got_doc(void *ctx, void *value)
{
    (void)ctx;
    j.values++;
    j.doc = value;
    return hs_value(NULL);
}

static hs_outcome got_none(void *ctx, hs_err err, void *detail)
{
    const hs_fetch_error *e = detail;
    (void)ctx;
    j.errors++;
    j.err = err;
    if (e) {
        cr_assert_eq(e->err.code, err.code);
        j.phase = e->phase;
        snprintf(j.text, sizeof j.text, "%s", e->text);
    }
    hs_fetch_error_free(detail);
    return hs_value(NULL);
}

static got g;
static uint64_t bytes_max;
static uint32_t depth_max;

static void ask(hs_fetch_res *res)
{
    const hs_json_limits limits = {bytes_max, depth_max};
    hs_promise_drop(hs_then_catch(hs_fetch_json(res, &limits), got_doc, got_none, NULL));
}

static hs_outcome got_head(void *ctx, void *value)
{
    (void)ctx;
    g.values++;
    g.res = value;
    ask(value);
    return hs_value(NULL);
}

/* The head comes, and the document is asked for at once. */
static void fetch_doc(const hs_fetch_options *o)
{
    memset(&g, 0, sizeof g);
    memset(&j, 0, sizeof j);
    hs_promise *p = hs_fetch(r.client, hs_span_str(URL), o);
    hs_promise_drop(hs_then_catch(p, got_head, got_error, &g));
}

static void expect_doc(void)
{
    cr_assert_eq(g.errors, 0, "%s", g.text);
    cr_assert_eq(j.errors, 0, "%s: %s", hs_err_name(j.err), j.text);
    cr_assert_eq(j.values, 1, "%s", rig_where());
    yyjson_val *root = yyjson_doc_get_root(j.doc);
    cr_assert_str_eq(yyjson_get_str(yyjson_obj_get(root, "name")), "J\xc3\xb6rg");
    cr_assert_eq(yyjson_get_int(yyjson_ptr_get(root, "/list/2/0")), 3);
    yyjson_doc_free(j.doc);
}

static void expect_none(int32_t err, hs_fetch_phase phase, const char *text)
{
    cr_assert_eq(j.values, 0);
    cr_assert_eq(j.errors, 1, "%s", rig_where());
    cr_assert_eq(j.err.code, err, "%s: %s", hs_err_name(j.err), j.text);
    cr_assert_eq(j.phase, phase, "%s: %s", hs_fetch_phase_name(j.phase), j.text);
    cr_assert(strstr(j.text, text), "%s", j.text);
    cr_assert_eq(hs_fetch_why(g.res)->err.code, err);
    let_go(&g);
}

/* ---- what comes ---- */

Test(app_fetch_json, a_document_outlives_its_response)
{
    rig_init();
    answer_with("200 OK", "Content-Type: application/json\r\n", NAMED);
    fetch_doc(NULL);
    bench_run(&r.b, 20);
    cr_assert_null(hs_fetch_why(g.res));
    let_go(&g);
    expect_doc();
    cr_assert_eq(hs_client_conns(r.client), 1); /* it rests */
    rig_fini();
}

/* As with the Fetch Standard's json(): neither type nor status decides. */
Test(app_fetch_json, whatever_its_type_and_status)
{
    static const char *const heads[] = {
        "", "Content-Type: text/html; charset=utf-16\r\n", "Content-Type: ;;\r\n",
        "Content-Type: application/problem+json\r\nContent-Type: image/png\r\n"};
    static const char *const statuses[] = {"200 OK", "404 Not Found", "500 x"};
    for (size_t h = 0; h < HS_ARRAY_LEN(heads); h++)
        for (size_t s = 0; s < HS_ARRAY_LEN(statuses); s++) {
            rig_init();
            answer_with(statuses[s], heads[h], "\xef\xbb\xbf" NAMED "\n");
            fetch_doc(NULL);
            bench_run(&r.b, 20);
            expect_doc();
            let_go(&g);
            rig_fini();
        }
}

static size_t drip_at;
static sim_event drip_event;
static conn *drip_conn;

static void drip(sim_world *w, sim_event *event)
{
    if (!drip_conn->peer || !said[drip_at])
        return;
    say_bytes(drip_conn, &said[drip_at++], 1);
    sim_event_set(w, event, 1 * HS_MSEC_NS, drip);
}

static void start_drip(conn *c)
{
    drip_conn = c;
    drip_at = 0;
    sim_event_set(r.b.w, &drip_event, 1 * HS_MSEC_NS, drip);
}

Test(app_fetch_json, byte_by_byte)
{
    rig_init();
    r.on_request = start_drip;
    answer_with("200 OK", "", NAMED);
    fetch_doc(NULL);
    bench_run(&r.b, strlen(said) + 20);
    expect_doc();
    let_go(&g);
    rig_fini();
}

/* ---- what does not ---- */

Test(app_fetch_json, what_is_no_json)
{
    static const struct {
        const char *body, *text;
    } bads[] = {
        {"{\n \"a\": 1,\n}", "192.0.2.1: JSON, line 2, column 8: trailing comma"},
        {"", "192.0.2.1: JSON, line 1, column 1: the text is empty"},
        {"<html>", "line 1, column 1: unexpected character"},
        {"[\"\xff\"]", "line 1, column 3: invalid UTF-8"},
        {"{} {}", "line 1, column 4: unexpected content"},
        {"[1", "line 1, column 3: unexpected end"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(bads); i++) {
        rig_init();
        answer_with("200 OK", "Content-Type: application/json\r\n", bads[i].body);
        fetch_doc(NULL);
        bench_run(&r.b, 20);
        expect_none(HS_E_JSON, HS_FETCH_BODY, bads[i].text);
        cr_assert_eq(hs_client_conns(r.client), 1); /* HTTP itself was right */
        rig_fini();
    }
}

/* A response that has no body at all. */
Test(app_fetch_json, no_body)
{
    rig_init();
    r.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    fetch_doc(NULL);
    bench_run(&r.b, 20);
    expect_none(HS_E_JSON, HS_FETCH_BODY, "the text is empty");
    rig_fini();
}

Test(app_fetch_json, limits)
{
    static const struct {
        uint64_t bytes_max;
        uint32_t depth_max;
        const char *text; /* NULL: it is within them */
    } cases[] = {{sizeof NAMED - 1, 3, NULL},
                 {sizeof NAMED, 4, NULL},
                 {sizeof NAMED - 2, 3, "longer than its limit"},
                 {sizeof NAMED - 1, 2, "line 1, column 34: too many arrays"}};
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        rig_init();
        answer_with("200 OK", "", NAMED);
        bytes_max = cases[i].bytes_max;
        depth_max = cases[i].depth_max;
        fetch_doc(NULL);
        bench_run(&r.b, 20);
        if (cases[i].text) {
            expect_none(HS_E_LIMIT, HS_FETCH_BODY, cases[i].text);
        } else {
            expect_doc();
            let_go(&g);
        }
        rig_fini();
    }
}

/* Unless it says otherwise the client's limit is the one. */
Test(app_fetch_json, the_clients_limit)
{
    for (uint64_t less = 0; less < 2; less++) {
        rig_prepare(NULL, NULL);
        r.options.body_bytes_max = sizeof NAMED - 1 - less;
        cr_assert(hs_ok(rig_make()));
        answer_with("200 OK", "", NAMED);
        fetch_doc(NULL);
        bench_run(&r.b, 20);
        if (less) {
            expect_none(HS_E_LIMIT, HS_FETCH_BODY, "longer than its limit");
        } else {
            expect_doc();
            let_go(&g);
        }
        rig_fini();
    }
}

/* Cut at each byte of the body, by an end or by a reset. */
Test(app_fetch_json, cut_short)
{
    size_t len = strlen(NAMED);
    for (size_t n = 0; n < 2 * len; n++) {
        rig_init();
        answer_with("200 OK", "", NAMED);
        size_t head = strlen(said) - len;
        said[head + n / 2] = '\0';
        fetch_doc(NULL);
        bench_run(&r.b, 20);
        cr_assert_eq(j.values + j.errors, 0);
        conn_end(conn_at(0), n % 2);
        bench_run(&r.b, 20);
        expect_none(n % 2 ? -ECONNRESET : HS_E_TRUNCATED, HS_FETCH_BODY, "192.0.2.1: ");
        cr_assert_eq(hs_client_conns(r.client), 0);
        rig_fini();
    }
}

Test(app_fetch_json, cancelled_at_each_step)
{
    answer_with("200 OK", "", NAMED);
    size_t steps = strlen(said) + 10, whole = 0, cut = 0;
    for (size_t ms = 0; ms < steps; ms += 3) {
        rig_prepare(NULL, NULL);
        r.on_request = start_drip;
        cr_assert(hs_ok(rig_make()));
        hs_cancel *cancel = hs_cancel_create(r.b.shard);
        fetch_doc(&(hs_fetch_options){.cancel = cancel});
        if (ms > 0)
            bench_run(&r.b, ms);
        hs_cancel_fire(cancel, hs_err_of(HS_E_BLOCKED));
        bench_run(&r.b, 5);
        hs_cancel_unref(cancel);
        cr_assert_eq(g.errors + j.values + j.errors, 1, "%zu", ms);
        if (j.values) {
            whole++;
            expect_doc();
            let_go(&g);
        } else if (g.errors) {
            cr_assert_eq(g.err.code, HS_E_BLOCKED);
        } else {
            cut++;
            expect_none(HS_E_BLOCKED, HS_FETCH_BODY, "");
        }
        sim_event_cancel(r.b.w, &drip_event);
        rig_fini();
    }
    cr_assert(whole > 0 && cut > 10, "%zu whole, %zu cut", whole, cut);
}

/* Freed while the body comes, and before the promise is told of it. */
Test(app_fetch_json, freed_before)
{
    answer_with("200 OK", "", NAMED);
    for (size_t ms = 0; ms < strlen(said) + 10; ms += 3) {
        rig_init();
        r.on_request = start_drip;
        fetch_doc(NULL);
        if (ms > 0)
            bench_run(&r.b, ms);
        if (g.res)
            let_go(&g);
        bench_run(&r.b, 5);
        if (j.values)
            expect_doc();
        else if (g.values && j.errors)
            cr_assert_eq(j.err.code, -ECANCELED);
        bench_run(&r.b, strlen(said) + 20);
        cr_assert_eq(j.values + j.errors, 1);
        if (g.res) {
            expect_doc();
            let_go(&g);
        }
        sim_event_cancel(r.b.w, &drip_event);
        rig_fini();
    }
}

Test(app_fetch_json, once)
{
    rig_init();
    answer_with("200 OK", "", NAMED);
    fetch_doc(NULL);
    bench_run(&r.b, 20);
    expect_doc();
    memset(&j, 0, sizeof j);
    ask(g.res);
    bench_run(&r.b, 1);
    cr_assert_eq(j.errors, 1);
    cr_assert_eq(j.err.code, HS_E_USAGE);
    let_go(&g);
    rig_fini();
}

static hs_outcome ask_and_forget(void *ctx, void *value)
{
    (void)ctx;
    g.res = value;
    hs_promise_drop(hs_fetch_json(value, NULL));
    return hs_value(NULL);
}

/* A document that nobody receives is freed; the rig counts the memory. */
Test(app_fetch_json, nobody_receives_it)
{
    rig_init();
    answer_with("200 OK", "", NAMED);
    memset(&g, 0, sizeof g);
    hs_promise_drop(hs_then(hs_get(r.client, HS_SPAN(URL)), ask_and_forget, NULL));
    bench_run(&r.b, 20);
    let_go(&g);
    rig_fini();
}

/* Each piece of memory fails once. */
Test(app_fetch_json, without_memory)
{
    uint32_t in_body = 0;
    for (uint64_t at = 1, met = true; met; at++) {
        rig_init();
        answer_with("200 OK", "", NAMED);
        r.b.fail_at = r.b.takes + at;
        fetch_doc(NULL);
        bench_run(&r.b, 50);
        met = r.b.fails > 0;
        cr_assert(met || j.values == 1);
        hs_err any = g.errors ? g.err : j.err;
        cr_assert(hs_ok(any) || hs_err_class(any) == HS_ERR_LIMIT, "%s", hs_err_name(any));
        in_body += j.errors;
        r.b.fail_at = 0;
        if (j.values)
            expect_doc();
        if (g.res)
            let_go(&g);
        rig_fini();
    }
    cr_assert_geq(in_body, 2); /* the document's own two pieces */
}
