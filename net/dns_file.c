/* The hosts file and resolv.conf.
 *
 * Owns: reading both, once, when a resolver is made, and looking names up in what was read. Both
 * are read in one piece, and only where they are ordinary files: a pipe would hold the shard. What
 * a line says that we do not understand is passed over, as the C library does. Must not know: the
 * lookups. Tested by: tests/unit/net_dns_file.c, tests/fuzz/fuzz_dns_text.c. */
#include "dns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hs_assert.h"

struct dns_hosts_line {
    dns_hosts_line *next, *last; /* of the same name; `last` is the first one's */
    dns_ip ip;
    int family;
};

/* ---- files ---- */

typedef struct text {
    char *ptr;
    size_t len, bytes; /* `bytes` as taken */
} text;

static size_t read_all(int fd, char *out, size_t len)
{
    size_t at = 0;
    while (at < len) {
        ssize_t n = read(fd, out + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    return at;
}

/* The bytes of the file at `path`, at most `max`, with a newline behind them. No file: none. */
static hs_err text_read(text *t, hs_shard *shard, const char *path, size_t max)
{
    *t = (text){0};
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    struct stat st;
    if (fd < 0)
        return HS_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
        (void)close(fd);
        return HS_OK;
    }
    size_t len = (size_t)st.st_size;
    if (len > max) {
        hs_log_write(hs_shard_log(shard), HS_LOG_WARN,
                     "%s: only the first %zu of its %zu bytes count", path, max, len);
        len = max;
    }
    t->bytes = len + 1;
    t->ptr = hs_mem_take(hs_shard_mem(shard), t->bytes, 1);
    if (t->ptr) {
        t->len = read_all(fd, t->ptr, len);
        t->ptr[t->len++] = '\n';
    }
    (void)close(fd);
    return t->ptr ? HS_OK : hs_err_of(-ENOMEM);
}

/* ---- words ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Cut the first line from `rest`, up to a comment. False at the end. */
static bool next_line(hs_span *rest, hs_span *line, const char *comments)
{
    if (rest->len == 0)
        return false;
    const uint8_t *newline = memchr(rest->ptr, '\n', rest->len);
    size_t len = newline ? (size_t)(newline - rest->ptr) : rest->len;
    *line = hs_span_of(rest->ptr, len);
    *rest = hs_span_from(*rest, newline ? len + 1 : len);
    for (; *comments; comments++) {
        const uint8_t *mark = line->len ? memchr(line->ptr, *comments, line->len) : NULL;
        if (mark)
            line->len = (size_t)(mark - line->ptr);
    }
    return true;
}

/* Cut the first word from `line`. False when there is none. */
static bool next_word(hs_span *line, hs_span *word)
{
    size_t at = 0;
    while (at < line->len && is_blank(line->ptr[at]))
        at++;
    size_t end = at;
    while (end < line->len && !is_blank(line->ptr[end]))
        end++;
    *word = hs_span_of(line->ptr + at, end - at);
    *line = hs_span_from(*line, end);
    return word->len > 0;
}

/* ---- the hosts file ---- */

static bool parse_ip(hs_span word, dns_ip *ip, int *family)
{
    char t[INET6_ADDRSTRLEN];
    if (word.len >= sizeof t)
        return false;
    memcpy(t, word.ptr, word.len);
    t[word.len] = '\0';
    *ip = (dns_ip){{0}};
    *family = memchr(t, ':', word.len) ? AF_INET6 : AF_INET;
    return inet_pton(*family, t, ip->bytes) == 1;
}

static hs_err add_line(dns_hosts *h, const dns_name *name, hs_span word, const dns_ip *ip,
                       int family)
{
    /* The key is where the word stands, so that it needs no memory of its own. */
    char *key = h->text + (word.ptr - (const uint8_t *)h->text);
    memcpy(key, name->text, name->len);
    dns_hosts_line *line = &h->lines[h->lines_len];
    *line = (dns_hosts_line){.last = line, .ip = *ip, .family = family};
    dns_hosts_line *first = hs_map_get(&h->names, hs_span_of(key, name->len));
    if (!first)
        HS_TRY(hs_map_set(&h->names, hs_span_of(key, name->len), line, NULL));
    else
        first->last = first->last->next = line;
    h->lines_len++;
    return HS_OK;
}

/* Go through the file: count the names (`lines` is not there yet), or note them. */
static hs_err walk_hosts(dns_hosts *h, size_t len, size_t *count)
{
    hs_span rest = hs_span_of(h->text, len), line, word;
    dns_ip ip;
    int family;
    dns_name name;
    *count = 0;
    while (next_line(&rest, &line, "#")) {
        if (!next_word(&line, &word) || !parse_ip(word, &ip, &family))
            continue;
        while (next_word(&line, &word)) {
            if (!dns_name_parse(&name, word))
                continue;
            (*count)++;
            if (h->lines)
                HS_TRY(add_line(h, &name, word, &ip, family));
        }
    }
    return HS_OK;
}

static hs_err fill_hosts(dns_hosts *h, const uint64_t seed[2], size_t len)
{
    size_t count;
    HS_TRY(walk_hosts(h, len, &count));
    if (count == 0)
        return HS_OK;
    hs_map_init(&h->names, h->mem, (uint32_t)count, seed);
    h->lines = hs_mem_take(h->mem, count * sizeof *h->lines, 16);
    HS_ENSURE(h->lines, -ENOMEM);
    size_t again;
    hs_err err = walk_hosts(h, len, &again);
    HS_ASSERT(!hs_ok(err) || again == count);
    h->lines_len = count; /* as taken */
    return err;
}

hs_err dns_hosts_parse(dns_hosts *h, const hs_mem *mem, const uint64_t seed[2], char *bytes,
                       size_t len, size_t bytes_taken)
{
    *h = (dns_hosts){.mem = mem, .text = bytes, .text_bytes = bytes_taken};
    hs_err err = fill_hosts(h, seed, len);
    if (!hs_ok(err))
        dns_hosts_fini(h);
    return err;
}

hs_err dns_hosts_read(dns_hosts *h, hs_shard *shard, const char *path)
{
    text t;
    *h = (dns_hosts){0};
    HS_TRY(text_read(&t, shard, path, HS_DNS_HOSTS_BYTES_MAX));
    const uint64_t seed[2] = {hs_shard_random(shard), hs_shard_random(shard)};
    return dns_hosts_parse(h, hs_shard_mem(shard), seed, t.ptr, t.len, t.bytes);
}

void dns_hosts_fini(dns_hosts *h)
{
    if (h->lines) {
        hs_map_fini(&h->names);
        hs_mem_give(h->mem, h->lines, h->lines_len * sizeof *h->lines, 16);
    }
    hs_mem_give(h->mem, h->text, h->text_bytes, 1);
    *h = (dns_hosts){0};
}

uint32_t dns_hosts_find(const dns_hosts *h, const dns_name *name, int family, hs_addr *out,
                        bool *known)
{
    uint32_t n = 0;
    const dns_hosts_line *line =
        h->lines ? hs_map_get(&h->names, hs_span_of(name->text, name->len)) : NULL;
    *known = line != NULL;
    for (; line && n < HS_DNS_ADDRS_MAX; line = line->next)
        if (line->family == family)
            dns_ip_addr(&line->ip, family, &out[n++]);
    return n;
}

/* ---- resolv.conf ---- */

/* Of several lines the last counts (resolv.conf(5)). */
static void take_domains(dns_resolv *r, hs_span line)
{
    hs_span word;
    r->domains_len = 0;
    while (r->domains_len < HS_DNS_SEARCH_MAX && next_word(&line, &word))
        if (dns_name_parse(&r->domains[r->domains_len], word))
            r->domains_len++;
}

static void take_options(dns_resolv *r, hs_span line)
{
    hs_span word;
    uint64_t n;
    while (next_word(&line, &word)) {
        const hs_span ndots = HS_SPAN("ndots:");
        if (hs_span_starts(word, ndots) &&
            hs_span_u64(hs_span_from(word, ndots.len), UINT32_MAX, &n))
            r->ndots = (uint32_t)HS_MIN(n, 15); /* as the C library caps it */
    }
}

void dns_resolv_parse(dns_resolv *r, hs_span rest)
{
    hs_span line, word;
    r->ndots = 1;
    r->domains_len = 0;
    while (next_line(&rest, &line, "#;")) {
        if (!next_word(&line, &word))
            continue;
        if (hs_span_eq(word, HS_SPAN("search")) || hs_span_eq(word, HS_SPAN("domain")))
            take_domains(r, line);
        else if (hs_span_eq(word, HS_SPAN("options")))
            take_options(r, line);
    }
}

hs_err dns_resolv_read(dns_resolv *r, hs_shard *shard, const char *path)
{
    text t;
    HS_TRY(text_read(&t, shard, path, HS_DNS_RESOLV_BYTES_MAX));
    dns_resolv_parse(r, hs_span_of(t.ptr, t.len));
    hs_mem_give(hs_shard_mem(shard), t.ptr, t.bytes, 1);
    return HS_OK;
}

bool dns_candidate(const dns_resolv *r, const dns_name *name, uint32_t i, dns_name *out, bool *skip)
{
    *skip = false;
    uint32_t domains = name->absolute ? 0 : r->domains_len;
    bool as_is_first = domains == 0 || name->dots >= r->ndots;
    if (i > domains)
        return false;
    if (i == (as_is_first ? 0 : domains)) {
        *out = *name;
        return true;
    }
    const dns_name *domain = &r->domains[as_is_first ? i - 1 : i];
    size_t len = (size_t)name->len + 1 + domain->len;
    *skip = len > DNS_NAME_MAX;
    if (*skip)
        return true;
    *out = *name;
    out->text[name->len] = '.';
    memcpy(out->text + name->len + 1, domain->text, (size_t)domain->len + 1);
    out->len = (uint8_t)len;
    return true;
}
