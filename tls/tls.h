/* The inside of the TLS layer.
 *
 * mem.c gives wolfSSL its memory; load.c and ctx.c make contexts; box.c publishes them; hello.c
 * reads a ClientHello and pick.c chooses a certificate for it; der.c and names.c look into
 * certificates, verify.c judges them; ocsp.c reads what a responder says of one, staple.c hands it
 * on; record.c moves bytes through wolfSSL, conn.c is a stream's
 * life, accept.c a server's handshakes, secure.c a client's, turn.c how much of a turn both take,
 * resume.c a client's sessions, info.c tells what they came to, tls.c is a shard's whole. */
#pragma once

#include <errno.h>

#include <wolfssl/options.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/random.h>

#include "hs_assert.h"
#include "hs_limits.h"
#include "hs_list.h"
#include "hs_tls.h"

/* One record's plaintext at most (RFC 8446 section 5.1). */
#define TLS_RECORD_BYTES 16384
/* A ClientHello, with the heads of its records. */
#define TLS_HELLO_BYTES_MAX 20480
/* Names of one certificate: public authorities sign some hundred at most. wolfSSL is built with the
 * same limit. */
#define TLS_NAMES_MAX 1024
/* What wolfSSL answers by itself while it reads, such as a KeyUpdate to a KeyUpdate, may wait for
 * this much; then reading stops until the peer has taken it. */
#define TLS_REPLIES_MAX 4096
/* By how much the clocks of a responder and ours may differ. */
#define TLS_OCSP_SKEW_S 300
/* What a server may be given to staple. */
#define TLS_OCSP_BYTES_MAX 16384

/* ---- contexts ---- */

/* The kinds of keys that a client can check signatures of, as bits. */
enum { TLS_KEY_RSA = 1, TLS_KEY_ECDSA = 2, TLS_KEY_ED25519 = 4 };

/* A name of a certificate: lower case, a wildcard without its "*". */
typedef struct tls_name {
    uint8_t *ptr;
    uint16_t len;
    bool wildcard;
} tls_name;

#define TLS_IDENTITY_BYTES 32

/* A certificate with its key, ready for use. */
typedef struct tls_slot {
    WOLFSSL_CTX *wolf;
    uint8_t identity[TLS_IDENTITY_BYTES]; /* SHA-256 of whom it names */
    uint32_t kind;                        /* TLS_KEY_... */
    uint32_t names_len, names_max;
    tls_name *names;
    uint8_t *staple; /* an OCSP response; NULL: none */
    uint32_t staple_len;
    uint64_t staple_until_s;
} tls_slot;

struct hs_tls_ctx {
    const hs_mem *mem;
    _Atomic(uint32_t) refs;
    bool client;
    hs_tls_client_auth client_auth;
    uint32_t slots_len, slots_max; /* at least 1; of a client 1 */
    uint32_t alpn_len;
    struct {
        uint8_t len;
        char text[HS_TLS_ALPN_BYTES_MAX];
    } alpn[HS_TLS_ALPN_MAX];
    tls_slot slots[]; /* slots_max */
};

/* ---- tickets: ticket.c ---- */

#define TLS_TICKET_KEYS 3

typedef struct tls_ticket_key {
    uint8_t name[16];
    uint8_t key[32];
} tls_ticket_key;

/* The newest first: it makes tickets, all open them. */
typedef struct tls_ticket_keys {
    tls_ticket_key keys[TLS_TICKET_KEYS];
    uint32_t len;
} tls_ticket_keys;

/* Add a new key, and forget the oldest. Errors: HS_E_INTERNAL (no random numbers). */
HS_NODISCARD hs_err tls_ticket_rotate(tls_ticket_keys *keys);
/* wolfSSL's way to them; `ctx` is the slot. */
int tls_ticket(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac, int enc,
               unsigned char *ticket, int len, int *out_len, void *ctx);

/* ---- connections ---- */

typedef enum tls_state {
    TLS_HELLO,     /* a server that waits for the whole ClientHello */
    TLS_HANDSHAKE, /* under way */
    TLS_OPEN,
    TLS_CLOSING, /* the user closed; the rest of the queue goes out */
    TLS_ENDED,   /* our part is over; `plain` will be gone soon, or is */
} tls_state;

typedef struct tls_conn tls_conn;
typedef struct tls_session tls_session;

/* What a connection needs during its handshake alone. */
typedef struct tls_hs {
    tls_conn *conn;
    hs_list link;      /* of a server: in tls->waiting or tls->busy */
    hs_list turn_link; /* in tls->turn_list */
    hs_timer timer;
    uint32_t hello_need; /* of a server: look at the hello again when this much is there */
    bool waiting;        /* of a server: in which list */
    struct tls_ask *ask; /* of a client; NULL: of a server */
    int wolf_err;        /* that it failed with */
    bool begun;          /* of a client: something came */
    uint8_t plain_len;   /* of a client: what came is no TLS, and begins like this */
    uint8_t plain[40];
    uint8_t sni_len;
    uint8_t sni[255]; /* as it was asked for */
} tls_hs;

struct tls_conn {
    hs_stream s;
    hs_stream *plain; /* NULL: gone */
    hs_tls *tls;
    hs_tls_ctx *ctx;
    WOLFSSL *ssl;  /* NULL before the hello is there, and after the end */
    tls_hs *hs;    /* NULL: the handshake is over */
    hs_chain out;  /* plaintext to be sent */
    hs_chain held; /* what came and cannot be looked at yet */
    hs_span in;    /* what came and is being looked at: only inside of a callback */
    hs_microtask again;
    tls_session *server; /* of a client: whose sessions it keeps; NULL: none */
    uint64_t wrote_ns;   /* when a record was written last */
    uint32_t flight;     /* plaintext of the records since a pause, as far as it matters */
    uint32_t slot_bytes; /* 0: from tls->conns; else from the shard's memory */
    uint32_t replies;    /* bytes of records that nobody asked for since the queue was empty */
    uint32_t sent;       /* what hs_stream_sent says once it is final */
    uint8_t state;       /* tls_state */
    bool paused : 1;
    bool taken : 1;      /* the user has it */
    bool end_heard : 1;  /* the peer's close_notify was told */
    bool plain_end : 1;  /* the plain stream has ended */
    bool orphan : 1;     /* its handshake failed: nobody will ever have it */
    bool failed : 1;     /* `why` is set, and is an error */
    bool ticket_new : 1; /* of a client: its session is one that can be resumed */
    bool sealing : 1;    /* what wolfSSL sends is the user's */
    bool blocked : 1;    /* reading waits until the replies have left */
    bool sent_fixed : 1; /* `sent` is final */
    int16_t why;
    int16_t io_why; /* why the plain stream took no bytes */
    uint8_t owner[] __attribute__((aligned(16)));
};

struct hs_tls {
    hs_shard *shard;
    hs_tls_shard_options options;
    hs_tls_box *box;
    hs_tls_ctx *ctx; /* what was in the box when `generation` was there */
    uint32_t generation;
    tls_ticket_keys keys; /* of that generation, too */
    WC_RNG rng;           /* for tickets */
    bool rng_made;
    uint32_t refs;    /* of a client's: itself and each of its streams */
    hs_list sessions; /* of a client's, the newest first */
    uint32_t sessions_len;
    hs_pool conns, handshakes;
    hs_list waiting, busy; /* handshakes of a server, the oldest first */
    uint32_t waiting_len, busy_len;
    hs_list turn_list; /* handshakes that resume in the next turn */
    hs_task turn_task; /* posted while there are any */
    uint64_t turn_ns, turn_until_ns;
    bool turn_spent;
    hs_trim trim;
    uint8_t *in, *out; /* one record each, of TLS_RECORD_BYTES: plaintext that is looked at */
    uint8_t *hello;    /* TLS_HELLO_BYTES_MAX, twice */
    uint32_t count_handshakes, count_failed, count_given_up;
    uint64_t warn_next_ns; /* what clients get wrong is logged once a second */
};

/* mem.c: make wolfSSL ready, once for the process. Errors: HS_E_INTERNAL. Thread: any. */
HS_NODISCARD hs_err tls_library(void);
/* From here until the next call on this thread, wolfSSL takes its memory from `mem`; NULL: from the
 * shard's, or the system's where there is no shard. Returns what was set before. */
const hs_mem *tls_mem_set(const hs_mem *mem);

/* Overwrite what nobody may read any more. */
static inline void tls_forget(void *bytes, size_t len)
{
    memset(bytes, 0, len);
    __asm__ volatile("" : : "r"(bytes) : "memory"); /* the zeros are meant */
}

/* hello.c */
typedef struct tls_hello {
    hs_span sni;      /* empty: none, or none that is a name */
    hs_span alpn;     /* the list as it came: a length and a name each */
    uint32_t keys;    /* TLS_KEY_..., by the signatures that the client takes */
    bool no_group;    /* it lists groups, and none of them is ours */
    bool share_twice; /* two key shares for a group */
    bool cut; /* the first record ends within the message's head, which wolfSSL cannot read */
    uint32_t records_bytes, payload_bytes; /* of its records, and what is in `scratch` of them */
} tls_hello;

typedef enum tls_hello_result {
    TLS_HELLO_DONE,
    TLS_HELLO_MORE,  /* *need says how many bytes there must be before a next look */
    TLS_HELLO_BAD,   /* not a ClientHello, or not one that we could answer */
    TLS_HELLO_LARGE, /* past TLS_HELLO_BYTES_MAX */
    TLS_HELLO_PLAIN, /* letters: a line of some other protocol */
} tls_hello_result;

/* Look at the `len` first bytes of a connection. What *hello refers to is in `bytes` or in
 * `scratch` (TLS_HELLO_BYTES_MAX). Whether it keeps to every rule is not judged here: wolfSSL reads
 * it again. */
tls_hello_result tls_hello_read(const uint8_t *bytes, size_t len, uint8_t *scratch,
                                tls_hello *hello, uint32_t *need);

/* Take the next protocol of an ALPN list. False at its end. */
bool tls_alpn_next(hs_span *list, hs_span *protocol);

/* der.c: see there. */
typedef struct tls_der {
    hs_span serial;
    hs_span issuer;                                  /* with its tag */
    hs_span subject, not_before, not_after, key_oid; /* contents; a time with its tag */
    hs_span alt_names; /* contents of the extension's sequence; empty: none */
} tls_der;

/* Take the next element. False at the end, or where it is broken. */
bool tls_der_next(hs_span *from, uint8_t *tag, hs_span *content);
/* Find the parts of a certificate. False where it is broken. */
bool tls_der_cert(hs_span cert, tls_der *out);
/* The subject's last common name; empty: none. */
hs_span tls_der_common_name(const tls_der *der);
/* A time as "2026-11-21 01:02:03 UTC"; false where it is none. */
bool tls_der_time(hs_span time, char out[32]);
/* The same in seconds since 1970; false also before. */
bool tls_der_seconds(hs_span time, uint64_t *out);

/* ocsp.c: whether `file` is a response that says that `cert` is good now; NULL: it is, until
 * *until_s. Else why not, in words. */
const char *tls_ocsp_read(hs_span file, const tls_der *cert, uint64_t now_s, uint64_t *until_s);

/* staple.c: read the response for `cert`, the slot's. Errors: as tls_load, HS_E_CERT_STATUS. */
HS_NODISCARD hs_err tls_staple_load(const hs_mem *mem, tls_slot *slot, const tls_der *cert,
                                    const char *file, hs_tls_why *why);
void tls_staple_free(const hs_mem *mem, tls_slot *slot);
/* Hand it to clients of the slot's context that ask. */
void tls_staple_use(tls_slot *slot);

/* names.c */
/* The SHA-256 of the certificate's names and addresses, in whatever order they are in it, so that a
 * renewed one has the same; of the whole certificate where it names nobody. Errors: -ENOMEM. */
HS_NODISCARD hs_err tls_names_identity(const hs_mem *mem, const tls_der *der, hs_span cert,
                                       uint8_t out[TLS_IDENTITY_BYTES]);
/* How many names and addresses a certificate holds. */
uint32_t tls_names_count(const tls_der *der);
/* Whether `name` is one that a certificate may be asked for or hold: labels of letters, digits, '-'
 * and '_'. */
bool tls_name_ok(hs_span name);
/* Whether the certificate's subjectAltName names `host`, a name or an address in numbers. */
bool tls_names_host(const tls_der *der, hs_span host);
/* Whether `host` is an address in numbers; *len bytes of it. */
bool tls_is_address(hs_span host, uint8_t out[16], size_t *len);
/* Call `fn` for each DNS name of a certificate until it says false. Returns what it said last. */
bool tls_names_each(const tls_der *der, bool (*fn)(hs_span name, void *ctx), void *ctx);

/* load.c */
/* Read the whole file. *out is of `mem`, to be given back with its length + 1: a NUL follows. */
HS_NODISCARD hs_err tls_load(const hs_mem *mem, const char *file, uint8_t **out, size_t *len,
                             hs_tls_why *why);
/* Why, in words; returns `err`. */
HS_NODISCARD hs_err tls_say(hs_tls_why *why, hs_err err, const char *format, ...) HS_PRINTF(3, 4);
/* Load the roots of `file` (NULL: the system's) into `wolf`. */
HS_NODISCARD hs_err tls_load_roots(const hs_mem *mem, WOLFSSL_CTX *wolf, const char *file,
                                   hs_tls_why *why);

/* pick.c: the certificate for a hello. Never NULL. */
const tls_slot *tls_pick(const hs_tls_ctx *ctx, const tls_hello *hello);
/* The protocol for a hello; -1: none was asked for, -2: none that we have. */
int tls_pick_alpn(const hs_tls_ctx *ctx, const tls_hello *hello);

/* ---- records: record.c ---- */

/* wolfSSL's way to the plain stream; `ctx` is the connection. */
int tls_io_recv(WOLFSSL *ssl, char *out, int room, void *ctx);
int tls_io_send(WOLFSSL *ssl, char *bytes, int len, void *ctx);

/* Whether a peer has to read the replies that wait before more of what it sends is read. */
bool tls_replies_wait(tls_conn *c);

/* Encrypt what is in c->out, as far as the plain stream has room. Errors: -ENOMEM, HS_E_TLS, why
 * the plain stream takes nothing. */
HS_NODISCARD hs_err tls_seal(tls_conn *c);

typedef enum tls_read {
    TLS_READ_MORE, /* there is, or may be, more */
    TLS_READ_DRY,  /* until more comes */
    TLS_READ_END,  /* the peer has said that it sends no more */
    TLS_READ_FAILED
} tls_read;

/* Decrypt up to a record's worth to tls->in. *len bytes are there whatever is returned. */
tls_read tls_unseal(tls_conn *c, size_t *len, hs_err *err);

/* What wolfSSL's error means. */
HS_NODISCARD hs_err tls_err_of(const tls_conn *c, int wolf_err);

/* ---- a stream's life: conn.c ---- */

extern const hs_stream_events tls_plain_events;
/* Of a stream that nobody has taken yet, or that was refused: whatever it tells is not heard. */
extern const hs_stream_events tls_nobody;

/* Prepare zeroed memory: the stream is on `plain`, whose events are ours from here on. */
void tls_conn_init(tls_conn *c, hs_tls *tls, hs_stream *plain);
/* Keep what came and cannot be looked at yet. False: it has died. */
bool tls_conn_hold(tls_conn *c, hs_span bytes);
/* The handshake is over: the user has it, or will. */
void tls_conn_open(tls_conn *c);
/* Look at what came: decrypt it and tell the user. From a callback of the loop. */
void tls_conn_input(tls_conn *c);
/* End it: with what is queued, such as an alert, or at once. `closed` or the handshake's own end
 * follows. */
void tls_conn_fail(tls_conn *c, hs_err why);
void tls_conn_die(tls_conn *c, hs_err why);
/* Nothing refers to it any more. */
void tls_conn_free(tls_conn *c);

/* ---- handshakes: shake.c ---- */

/* Go on with it. From a callback of the loop. */
void tls_shake(tls_conn *c);
/* Its turn has come, after tls_turn_waits. */
void tls_shake_resume(tls_conn *c);
/* A plain stream's bytes for a connection that is not open yet. */
void tls_shake_data(tls_conn *c, hs_span bytes);
/* It is over, and not well; `c` is not freed by it. */
void tls_shake_ended(tls_conn *c, hs_err why);

/* turn.c: whether the next step has to wait for another turn; tls_shake_resume follows then. */
bool tls_turn_waits(tls_conn *c);
/* A step has been made: look at the clock. */
void tls_turn_count(hs_tls *tls);

/* info.c: what a handshake came to; c->ssl is there. */
void tls_info_fill(const tls_conn *c, hs_tls_info *out);
void tls_info_secure(const tls_conn *c, hs_secure_info *out);

/* accept.c: the server's side of it. */
/* `bytes`, which may be empty, came after what is in c->held. */
void tls_accept_hello(tls_conn *c, hs_span bytes);
void tls_accept_over(tls_conn *c);
void tls_accept_ended(tls_conn *c);

/* secure.c: the client's side of it. */
typedef struct tls_ask {
    hs_promise *promise;
    hs_cancel *cancel;
    hs_cancel_hook hook;
    tls_conn *conn;
    hs_err err; /* of the certificate; HS_OK: nothing is wrong with it */
    char text[200];
    bool unverified;
    uint8_t host_len;
    uint8_t host[255];
} tls_ask;

/* resume.c: a client's sessions. */
/* Keep what this connection's server gives, and go on with what it has given before. */
HS_NODISCARD hs_err tls_session_offer(tls_conn *c, hs_span host, uint16_t port);
/* There is a new ticket: keep its session. */
void tls_session_keep(tls_conn *c);
void tls_session_free(hs_tls *tls, tls_session *s); /* NULL: nothing */
void tls_sessions_clear(hs_tls *tls);

void tls_secure_over(tls_conn *c);
void tls_secure_ended(tls_conn *c, hs_err why);

/* ---- certificates of peers: verify.c ---- */

/* wolfSSL's question about a peer's certificate. */
int tls_verify(int ok, WOLFSSL_X509_STORE_CTX *store);
/* Of an error of wolfSSL: HS_E_CERT..., or HS_OK where it is about something else. */
HS_NODISCARD hs_err tls_cert_err(int wolf_err);
/* Why a handshake failed with `err`, in words. */
void tls_why_text(const tls_conn *c, hs_err err, char *out, size_t room);

/* ---- the shard's whole: tls.c ---- */

/* Fill `tls`, which is zeroed. */
HS_NODISCARD hs_err tls_init(hs_tls *tls, hs_shard *shard, const hs_tls_shard_options *options);
void tls_fini(hs_tls *tls);
/* One stream of a client's less; the last one after its end frees it. */
void tls_unref(hs_tls *tls);
/* Memory for a handshake; NULL: none. */
tls_hs *tls_hs_take(tls_conn *c, struct tls_ask *ask);
void tls_hs_give(tls_conn *c);

/* ---- what is published: box.c ---- */

/* Whether something else is published than generation `have`, at the wall clock's `now_s`: keys of
 * tickets are changed in here when their time has come. */
bool tls_box_changed(hs_tls_box *box, uint32_t have, uint64_t now_s);
/* What is published now: a reference, and a copy of the keys. *generation is its number. */
hs_tls_ctx *tls_box_get(hs_tls_box *box, uint32_t *generation, tls_ticket_keys *keys);
