/* How much of a turn the pipelined requests of a server may take.
 *
 * The first request of a connection in a turn always runs. Those behind it share
 * HS_TURN_PIPELINED_NS with the ones of all other connections, and no connection runs more than
 * HS_TURN_PIPELINED_MAX: so a client that sends thousands at once costs the others a few
 * milliseconds a turn. Owns: the list of sessions that resume in the next turn, in order. Must not
 * know: what a request is. Tested by: tests/unit/http_turn.c. */
#include "session.h"

/* Requests that are granted at once: reading the clock costs as much as a twentieth of the
 * smallest.
 */
#define GRANT 4

static uint64_t clock_now(const hs_http_server *server)
{
    return hs_io_now_ns(hs_shard_io(server->shard));
}

static void budget_begin(hs_http_server *server)
{
    server->budget_turn_ns = hs_shard_now_ns(server->shard);
    server->budget_until_ns = clock_now(server) + HS_TURN_PIPELINED_NS;
    server->budget_spent = false;
}

bool turn_budget_allows(h1_conn *c)
{
    hs_http_server *server = c->server;
    if (server->budget_turn_ns != hs_shard_now_ns(server->shard))
        budget_begin(server);
    /* Behind those that wait already. */
    if (!server->resuming_now && !hs_list_empty(&server->resuming))
        return false;
    if (server->budget_spent || c->turn_requests >= HS_TURN_PIPELINED_MAX)
        return false;
    server->budget_spent = clock_now(server) >= server->budget_until_ns;
    if (server->budget_spent)
        return false;
    c->turn_requests += GRANT;
    c->turn_granted = GRANT - 1;
    return true;
}

/* Each session of the list runs at least one request, in the order in which they joined it. Those
 * that join it meanwhile wait for the next turn, and so do those that are left when the budget is
 * spent. */
static void resume_all(hs_task *task)
{
    hs_http_server *server = HS_CONTAINER_OF(task, hs_http_server, resume_task);
    hs_list now;
    hs_list_init(&now);
    hs_list_append(&now, &server->resuming);
    budget_begin(server);
    server->resuming_now = true;
    for (hs_list *link; !server->budget_spent && (link = hs_list_pop_front(&now));)
        session_resume(HS_CONTAINER_OF(link, h1_session, resume_link));
    server->resuming_now = false;
    hs_list_append(&now, &server->resuming);
    hs_list_append(&server->resuming, &now);
    if (!hs_list_empty(&server->resuming) && !task->fn)
        hs_task_post_next_turn(server->shard, task, resume_all);
}

void turn_resume_next(h1_session *x)
{
    hs_http_server *server = x->conn->server;
    if (turn_resumes(x))
        return;
    hs_list_push_back(&server->resuming, &x->resume_link);
    if (!server->resume_task.fn)
        hs_task_post_next_turn(server->shard, &server->resume_task, resume_all);
}
