/* The hosts file and resolv.conf while names are looked up: what has changed is noticed. */
#include "dns_rig.h"

#include <sys/stat.h>

/* As editors and resolvconf do it: another file in its place. */
static void replace_file(const char *path, const char *text)
{
    char other[64];
    snprintf(other, sizeof other, "%s.new", path);
    FILE *file = fopen(other, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(rename(other, path), 0);
}

static void assert_hosts(const char *name, const char *is)
{
    heard h = {0};
    start_family(&h, name, AF_INET);
    bench_run(&b, 1);
    cr_assert(h.ended == (is != NULL));
    if (is)
        assert_first(&h, AF_INET, is);
    else
        hs_dns_cancel(dns, &h.op);
}

Test(net_dns_reload, the_hosts_file)
{
    open_dns(NULL, "", "192.0.2.1 a.test\n");
    assert_hosts("a.test", "192.0.2.1:0");
    replace_file(hosts_path, "192.0.2.2 a.test b.test\n");
    bench_run(&b, HS_DNS_WATCH_MS + 1);
    assert_hosts("b.test", "192.0.2.2:0");
    assert_hosts("a.test", "192.0.2.2:0");
    unlink(hosts_path);
    assert_hosts("b.test", "192.0.2.2:0"); /* once a second */
    bench_run(&b, HS_DNS_WATCH_MS + 1);
    assert_hosts("b.test", NULL);
    cr_assert_eq(f.remakes, 0);
    close_dns();
}

Test(net_dns_reload, the_search_domains_the_servers_and_what_was_kept)
{
    heard h = {0}, again = {0};
    open_dns(NULL, "search one.test\n", "");
    start_family(&h, "a", AF_INET);
    bench_run(&b, 1);
    assert_asked(0, "a.one.test.", AF_INET);
    answer(0, 0, 3600, 1);
    replace_file(resolv_path, "search two.test\n");
    bench_run(&b, HS_DNS_WATCH_MS + 1);
    start_family(&again, "a", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.remakes, 1);
    cr_assert_eq(f.destroys, 1);
    assert_asked(1, "a.two.test.", AF_INET);
    answer(1, 0, 3600, 1);
    heard old = {0};
    start_family(&old, "a.one.test.", AF_INET); /* what was kept is gone */
    bench_run(&b, 1);
    assert_asked(2, "a.one.test.", AF_INET);
    answer(2, 0, 3600, 1);
    close_dns();
}

/* The machine has another network: what was asked in the old one is asked here. */
Test(net_dns_reload, what_is_under_way_is_asked_anew)
{
    heard h = {0}, other = {0};
    hs_dns_options o = {.queries_max = 3};
    open_dns(&o, "", "");
    start(&h, "a.test");
    start(&other, "b.test");
    cr_assert_eq(f.len, 3); /* and one waits */
    replace_file(resolv_path, "nameserver 192.0.2.53\n");
    bench_run(&b, HS_DNS_WATCH_MS + 1);
    heard numeric = {0}, third = {0};
    start(&numeric, "192.0.2.7"); /* no name, so nothing is looked at */
    cr_assert_eq(f.remakes, 0);
    start(&third, "localhost");
    cr_assert_eq(f.remakes, 1);
    cr_assert_eq(f.len, 6);
    for (uint32_t i = 0; i < f.len; i++)
        if (f.asks[i].question)
            answer(i, 0, 60, 1);
    cr_assert(h.ended && other.ended);
    for (int i = 0; i < 2; i++)
        cr_assert(hs_ok(h.err[i]) && hs_ok(other.err[i]));
    cr_assert_eq(f.len, 7);
    close_dns();
}

Test(net_dns_reload, at_once_when_asked)
{
    heard h = {0};
    open_dns(NULL, "", "192.0.2.1 a.test\n");
    replace_file(hosts_path, "192.0.2.2 a.test\n");
    hs_dns_reload();
    assert_hosts("a.test", "192.0.2.2:0");
    cr_assert_eq(f.remakes, 1); /* though it looks the same */
    assert_hosts("a.test", "192.0.2.2:0");
    cr_assert_eq(f.remakes, 1);
    /* And its look is taken back with the resolver. */
    hs_dns_reload();
    start_family(&h, "a.test", AF_INET);
    hs_dns_cancel(dns, &h.op);
    hs_dns_destroy(dns);
    end_bench();
}

Test(net_dns_reload, what_cannot_be_read_leaves_what_was)
{
    heard h = {0}, again = {0};
    open_dns(NULL, "search one.test\n", "");
    replace_file(resolv_path, "search two.test\n");
    f.remake_err = hs_err_of(-ENOMEM);
    bench_run(&b, HS_DNS_WATCH_MS + 1);
    start_family(&h, "a", AF_INET);
    bench_run(&b, 1);
    assert_asked(0, "a.one.test.", AF_INET);
    answer(0, 0, 60, 1);
    f.remake_err = HS_OK;
    bench_run(&b, HS_DNS_WATCH_MS + 1);
    start_family(&again, "a", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.remakes, 2);
    assert_asked(1, "a.two.test.", AF_INET);
    answer(1, 0, 60, 1);
    close_dns();
}

Test(net_dns_reload, servers_that_were_given_stay)
{
    heard h = {0};
    open_dns(&(hs_dns_options){.servers = "192.0.2.1"}, "search one.test\n", "");
    replace_file(resolv_path, "search two.test\nnameserver 192.0.2.2\n");
    hs_dns_reload();
    start_family(&h, "a", AF_INET);
    bench_run(&b, 1);
    cr_assert_eq(f.remakes, 0);
    assert_asked(0, "a.two.test.", AF_INET);
    answer(0, 0, 60, 1);
    close_dns();
}

Test(net_dns_reload, destroyed_while_files_are_to_be_read)
{
    heard h = {0};
    open_dns(NULL, "", "");
    start(&h, "a.test");
    heard other = {0};
    hs_dns_reload();
    start_family(&other, "b.test", AF_INET);
    hs_dns_destroy(dns);
    bench_run(&b, 1);
    cr_assert(h.ended && other.ended);
    cr_assert_eq(f.remakes, 0);
    end_bench();
}
