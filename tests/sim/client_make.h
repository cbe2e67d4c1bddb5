/* What a scripted client asks, and how: drawn from the world's seed. */
#pragma once

#include "client.h"

/* Draw the client's requests and habits. `number` is set. */
void client_draw(sim_world *w, client *c);

/* Put the bytes of request `r` in c->out, which is empty. */
void client_make(sim_world *w, client *c, const request *r);
