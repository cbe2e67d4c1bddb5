/* Scripted clients of the simulated server, and what they hold it to. */
#pragma once

#include "answer.h"
#include "script.h"
#include "sim.h"

#define CLIENT_REQUESTS_MAX 12

typedef struct request {
    script_kind kind;
    uint32_t id;
    uint32_t len; /* of the answer's body, where it is not an echo */
    uint32_t ms;
    uint32_t body_len;                                /* of the request's */
    bool has_body, chunked, head, expect, close, old; /* old: HTTP/1.0 */
    uint64_t asked_ns;
    const char *bad; /* sent in place of all this; the answer is an error */
} request;

/* How a client ends. */
typedef enum client_ending {
    CLIENT_CLOSES,   /* when all is answered */
    CLIENT_FINISHES, /* half-closes after its last byte, and waits for the end */
    CLIENT_STAYS,    /* until the server closes the idle connection */
    CLIENT_RESETS,   /* at some moment */
    CLIENT_STALLS,   /* falls silent at some moment */
    CLIENT_DEAFENS,  /* the same, and reads no more */
    CLIENT_ENDINGS
} client_ending;

struct client_run;

typedef struct client {
    struct client_run *run;
    sim_peer *peer;
    uint32_t number;
    request requests[CLIENT_REQUESTS_MAX];
    uint32_t requests_len;
    uint32_t written;  /* requests whose bytes were made */
    uint32_t answered; /* whose answers are complete */
    uint32_t depth;    /* requests under way at a time */
    uint32_t piece_max, delay_us_max, read_max, read_us_max;
    client_ending ending;
    bool open, over, server_closes, finished;
    bool may_close; /* the server may close after what it was asked */
    bool silent;    /* it writes no more, for no reason */
    bool deaf;      /* nor reads */
    uint8_t *out;   /* bytes of requests, made and not written */
    size_t out_len, out_at, out_room;
    size_t hold_at; /* wait for 100 before the byte at this place; SIZE_MAX: nowhere */
    answer answer;
    uint64_t body_at;
    uint64_t all_ns; /* when all was answered */
    uint32_t interims;
    sim_event write, read, doom, patience;
} client;

typedef struct client_run {
    sim_world *w;
    uint32_t left; /* clients that are not over */
    bool unsure;   /* something harms every connection: failing memory */
    bool draining;
    uint64_t drain_ns; /* since when */
    bool aborting;     /* the drain's time is over */
    uint64_t answers;  /* complete ones */
    uint64_t unharmed; /* clients that got all they asked for */
    const char *fault; /* the first thing that was wrong */
    uint32_t fault_client;
} client_run;

/* Make up a client and connect it. */
void client_start(client_run *run, client *c, uint32_t number);

/* Free what it has. */
void client_fini(client *c);
