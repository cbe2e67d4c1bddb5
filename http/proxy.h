/* Proxies: which one a URL goes through, and how a tunnel through one is asked for.
 *
 * Owns: the meaning of the environment's variables http_proxy, https_proxy, all_proxy and no_proxy,
 * in small or capital letters, and the CONNECT exchange (RFC 9110 section 9.3.6) as bytes. The
 * environment is passed in. Must not know: connections. Private to http; one shard.
 * Tested by: tests/unit/http_proxy.c. */
#pragma once

#include "h1_response.h"
#include "hs_url.h"

/* As of any host: a name has at most 253 bytes (RFC 1035). */
#define PROXY_HOST_BYTES_MAX 255

typedef struct proxy {
    hs_span host;          /* a name, or an address; of IPv6 in brackets. Empty: no proxy */
    hs_span authorization; /* the value of Proxy-Authorization; empty: none */
    hs_span username;      /* of SOCKS; at most 255 bytes each */
    hs_span password;
    uint16_t port;
    bool socks;        /* SOCKS5: every URL goes through a connection that it makes */
    bool secure;       /* TLS to the proxy itself (https://proxy) */
    const char *fault; /* why it cannot be used, with the variable's name and value; NULL: it can */
} proxy;

/* What the environment says. All of it is in the arena. */
typedef struct proxy_set {
    proxy http, https;
    hs_span none; /* whom no proxy is for */
} proxy_set;

/* Read `env`, a list of "NAME=value" that ends with NULL, as environ(7) has it. The small name goes
 * before the capital one, and an empty value is none; all_proxy is for what has none of its own.
 * HTTP_PROXY is ignored where REQUEST_METHOD is set: a CGI server makes it of a stranger's field
 * "Proxy" (CVE-2016-5385). A proxy is http:// or https://, socks5:// or socks5h://, or a host and
 * port alone; without a port it is the scheme's, of SOCKS 1080; a path, a query and a fragment mean
 * nothing. A variable that names no proxy that can be used, with `tls` or without, is told by
 * `fault`: it concerns those alone who would go through it. A name and a password in it are not
 * shown. Errors: -ENOMEM. */
HS_NODISCARD hs_err proxy_set_read(proxy_set *out, hs_arena *arena, const char *const *env,
                                   bool tls);

/* The proxy for an http or https URL, which may have a fault, or NULL: straight to the host. The
 * rules of no_proxy are curl's: a list with commas or spaces; "*" is every host; a name is that
 * host and all below it, with or without a leading dot and the root's at its end, and in any
 * letters (IDNA); an address is itself, 10.0.0.0/8 a network of addresses as the URL has them (no
 * name is looked up); with ":port" behind, it is that port alone. */
const proxy *proxy_for(const proxy_set *set, const hs_url *url);

/* The head of a CONNECT for `host` (of IPv6 in brackets) and `port` through `via`, in `arena`; *out
 * is set. `agent` is the value of User-Agent; empty: none. Errors: HS_E_USAGE (host or agent cannot
 * stand in a head), -ENOMEM. */
HS_NODISCARD hs_err proxy_connect_head(hs_arena *arena, hs_span host, uint16_t port,
                                       const proxy *via, hs_span agent, hs_span *out);

typedef struct proxy_answer {
    hs_arena *arena;
    uint8_t *in; /* all that came */
    uint32_t in_len;
    uint32_t at;      /* of the head that is being read */
    uint8_t interims; /* heads before the final one */
    bool open;        /* the tunnel is there: what comes next is the host's */
    uint16_t status;  /* of the final answer; 0: there is none yet */
    h1_response head;
} proxy_answer;

/* Make ready for the answer to a CONNECT. `arena` is borrowed until the answer is read. */
void proxy_answer_init(proxy_answer *a, hs_arena *arena);

/* Read what came. Where a->open is false after HS_OK, more must come. Once it is true, read no
 * more. Errors: -EACCES (403 or 407: who are you), -ECONNREFUSED (any other status but 2xx;
 * a->status says), HS_E_PROTOCOL, also for bytes behind the head: the host has nothing to say
 * before us; HS_E_LIMIT, -ENOMEM. */
HS_NODISCARD hs_err proxy_answer_read(proxy_answer *a, hs_span in);

/* ---- SOCKS5 (RFC 1928), with a name and a password (RFC 1929) or without ---- */

typedef struct proxy_socks {
    const proxy *via;
    const hs_url *url;
    const char *text; /* why it failed, in words; NULL: it did not */
    bool open;        /* the connection is there: what comes next is the host's */
    uint8_t step;
    uint16_t in_len;
    uint8_t in[4 + 1 + 255 + 2];    /* the message that is being read */
    uint8_t out[3 + 255 + 1 + 255]; /* the last one that was written */
} proxy_socks;

/* Begin: *out is what to send first, and stays until the next call. The host's name, if it has one,
 * is looked up by the proxy. `via` and `url` are borrowed until the end. */
void proxy_socks_begin(proxy_socks *s, const proxy *via, const hs_url *url, hs_span *out);

/* Read what came; *out is what to send then, if not empty. Once s->open is true, read no more.
 * Errors, with s->text: -EACCES (it wants another name and password, or does not let us there),
 * -ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH, -EAFNOSUPPORT (what it says of the host),
 * HS_E_PROTOCOL. */
HS_NODISCARD hs_err proxy_socks_read(proxy_socks *s, hs_span in, hs_span *out);
