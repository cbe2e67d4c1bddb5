/* When the memory of a client that was destroyed may go.
 *
 * Owns: the waiting for what its connections, dials and responses still need. Must not know: them.
 * Tested by: tests/unit/http_fetch_cancel.c. */
#include "client.h"

void client_free(hs_client *client)
{
    const hs_mem *mem = hs_shard_mem(client->shard);
    HS_ASSERT(client->origins.len == 0);
    HS_ASSERT(hs_list_empty(&client->conns));
    HS_ASSERT(hs_list_empty(&client->active) && hs_list_empty(&client->done));
    hs_map_fini(&client->origins);
    hs_heap_fini(&client->waiting);
    hs_arena_reset(&client->proxy_arena);
    hs_pool_fini(&client->conn_slots);
    hs_pool_fini(&client->fetch_slots);
    hs_mem_give(mem, client, sizeof *client, 16);
}

/* A TCP module of ours goes when its last socket has: a turn or two after the last stream. */
static bool tcp_gone(const hs_client *client)
{
    return !client->own_tcp || (hs_tcp_conns(client->tcp) == 0 && hs_tcp_dials(client->tcp) == 0);
}

static void on_gone(hs_task *task)
{
    hs_client *client = HS_CONTAINER_OF(task, hs_client, gone);
    client_look(client);
}

void client_look(hs_client *client)
{
    hs_shard *shard = client->shard;
    bool held = client->held;
    if (!client->destroyed || !hs_list_empty(&client->conns) || client->gone.fn)
        return;
    if (!hs_list_empty(&client->active) || !hs_list_empty(&client->done))
        return;
    if (!tcp_gone(client)) {
        if (!held)
            hs_shard_hold_as(shard, "HTTP client");
        client->held = true;
        hs_task_post(shard, &client->gone, on_gone);
        return;
    }
    if (client->own_tcp)
        hs_tcp_destroy(client->tcp);
    client_free(client);
    if (held)
        hs_shard_release_as(shard, "HTTP client");
}
