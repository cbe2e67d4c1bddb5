/* The hosts file: what its lines mean, files that are none, memory that fails. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "dns.h"

static bench b;

/* A file with `text`, whose path is good until the next call. */
static const char *make_file(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/hs_hosts_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(close(fd), 0);
    return path;
}

static uint32_t find(const dns_hosts *h, const char *text, int family, hs_addr *out, bool *known)
{
    dns_name name;
    cr_assert(dns_name_parse(&name, hs_span_str(text)));
    return dns_hosts_find(h, &name, family, out, known);
}

static void assert_has(const dns_hosts *h, const char *name, int family, const char *all)
{
    hs_addr addrs[HS_DNS_ADDRS_MAX];
    char text[HS_DNS_ADDRS_MAX * HS_ADDR_TEXT_BYTES] = "", one[HS_ADDR_TEXT_BYTES];
    bool known;
    size_t len = 0;
    uint32_t n = find(h, name, family, addrs, &known);
    cr_assert(known);
    for (uint32_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? " " : "",
                                hs_addr_format(&addrs[i], one));
    cr_assert_str_eq(text, all);
}

static void assert_unknown(const dns_hosts *h, const char *name)
{
    hs_addr addrs[HS_DNS_ADDRS_MAX];
    bool known;
    cr_assert_eq(find(h, name, AF_INET, addrs, &known), 0);
    cr_assert(!known);
}

Test(net_dns_file, what_a_hosts_file_says)
{
    dns_hosts h;
    bench_init(&b, NULL);
    const char *path = make_file("# all of 192.0.2.9 x\n"
                                 "192.0.2.1\tOne.test one   uno.\r\n"
                                 "  2001:db8::1 one.test\n"
                                 "192.0.2.2 one.test # commented\n"
                                 "192.0.2 nobody\n"
                                 "192.0.2.3\n"
                                 "nonsense 192.0.2.4 x\n"
                                 "fe80::1%lo linklocal\n"
                                 "\n192.0.2.5 a/b 1.2 last");
    cr_assert(hs_ok(dns_hosts_read(&h, b.shard, path)));
    unlink(path);
    assert_has(&h, "ONE.test", AF_INET, "192.0.2.1:0 192.0.2.2:0");
    assert_has(&h, "one.test.", AF_INET6, "[2001:db8::1]:0");
    assert_has(&h, "one", AF_INET, "192.0.2.1:0");
    assert_has(&h, "one", AF_INET6, ""); /* known, but not with that family */
    assert_has(&h, "uno", AF_INET, "192.0.2.1:0");
    assert_has(&h, "last", AF_INET, "192.0.2.5:0");
    assert_unknown(&h, "commented");
    assert_unknown(&h, "nobody");
    assert_unknown(&h, "linklocal");
    assert_unknown(&h, "x");
    dns_hosts_fini(&h);
    bench_fini(&b);
}

Test(net_dns_file, no_file_an_empty_one_and_what_is_no_file)
{
    static const char *const paths[] = {NULL, "", "/nonexistent/hosts", "/tmp", "/dev/zero"};
    dns_hosts h;
    dns_resolv resolv;
    bench_init(&b, NULL);
    for (size_t i = 0; i < HS_ARRAY_LEN(paths); i++) {
        cr_assert(hs_ok(dns_hosts_read(&h, b.shard, paths[i])));
        assert_unknown(&h, "a");
        dns_hosts_fini(&h);
        cr_assert(hs_ok(dns_resolv_read(&resolv, b.shard, paths[i])));
        cr_assert_eq(resolv.ndots, 1);
    }
    static const char *const texts[] = {"", "\n", "# nothing\n", "192.0.2.1"};
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++) {
        const char *path = make_file(texts[i]);
        cr_assert(hs_ok(dns_hosts_read(&h, b.shard, path)));
        unlink(path);
        assert_unknown(&h, "a");
        dns_hosts_fini(&h);
    }
    /* A pipe without a writer would be waited for. */
    char path[64] = "/tmp/hs_hosts_XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    char fifo[80];
    snprintf(fifo, sizeof fifo, "%s/fifo", path);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    cr_assert(hs_ok(dns_hosts_read(&h, b.shard, fifo)));
    dns_hosts_fini(&h);
    unlink(fifo);
    rmdir(path);
    bench_fini(&b);
}

Test(net_dns_file, of_many_addresses_some_are_left_out)
{
    char text[4000];
    size_t len = 0;
    hs_addr addrs[HS_DNS_ADDRS_MAX + 1];
    dns_hosts h;
    bool known;
    bench_init(&b, NULL);
    for (int i = 0; i < 100; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "192.0.2.%d many\n", i);
    const char *path = make_file(text);
    cr_assert(hs_ok(dns_hosts_read(&h, b.shard, path)));
    unlink(path);
    memset(addrs, 0x5a, sizeof addrs);
    cr_assert_eq(find(&h, "many", AF_INET, addrs, &known), HS_DNS_ADDRS_MAX);
    cr_assert_eq(((uint8_t *)&addrs[HS_DNS_ADDRS_MAX])[0], 0x5a);
    dns_hosts_fini(&h);
    bench_fini(&b);
}

Test(net_dns_file, each_piece_of_memory_fails_once)
{
    dns_hosts h;
    dns_resolv r;
    bench_init(&b, NULL);
    const char *path = make_file("192.0.2.1 a b c d e f g h i j k l m\n");
    uint64_t before = b.takes;
    cr_assert(hs_ok(dns_hosts_read(&h, b.shard, path)));
    dns_hosts_fini(&h);
    uint64_t takes = b.takes - before;
    cr_assert_geq(takes, 3);
    size_t pieces = b.pieces_out;
    for (uint64_t i = 1; i <= takes; i++) {
        b.fail_at = b.takes + i;
        cr_assert_eq(dns_hosts_read(&h, b.shard, path).code, -ENOMEM);
        cr_assert_eq(b.pieces_out, pieces);
    }
    b.fail_at = b.takes + 1;
    cr_assert_eq(dns_resolv_read(&r, b.shard, path).code, -ENOMEM);
    b.fail_at = 0;
    unlink(path);
    bench_fini(&b);
}
