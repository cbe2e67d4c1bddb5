/* A small name server for tests, on a thread of its own: UDP and TCP on one port of 127.0.0.1.
 *
 * Owns: what it answers, which the name that is asked for decides (dns_server.c has the table, and
 * nothing is answered below "silent.test"), and how often it was asked. */
#pragma once

#include <stdint.h>

typedef struct dns_server dns_server;

/* Start it; ends the program where that fails. */
dns_server *dns_server_start(void);

/* Where it listens: "127.0.0.1:PORT". */
const char *dns_server_addr(const dns_server *server);

/* How many questions it was asked so far; those by TCP. */
uint32_t dns_server_asked(const dns_server *server);
uint32_t dns_server_asked_tcp(const dns_server *server);

/* Answer what waits for it: questions for names below "later.", and for the IPv6 addresses of
 * "slow.test". */
void dns_server_release(dns_server *server);

/* End it. */
void dns_server_stop(dns_server *server);
