/* The options of a datagram socket, by family: see hs_udp.h. */
#include "udp.h"

typedef struct udp_option {
    bool wanted;
    int v4, v6; /* at the levels IPPROTO_IP and IPPROTO_IPV6 */
    int value;
} udp_option;

static int set_int(hs_io *io, int fd, int level, int name, int value)
{
    return hs_io_sockopt(io, fd, level, name, &value, sizeof value);
}

static int set_of_socket(hs_io *io, int fd, const hs_udp_options *o)
{
    const struct {
        bool wanted;
        int name, value;
    } list[] = {
        {o->reuse_port, SO_REUSEPORT, 1},
        {o->reuse_addr, SO_REUSEADDR, 1},
        {o->broadcast, SO_BROADCAST, 1},
        {o->recv_bytes > 0, SO_RCVBUF, (int)HS_MIN(o->recv_bytes, INT32_MAX / 2)},
        {o->send_bytes > 0, SO_SNDBUF, (int)HS_MIN(o->send_bytes, INT32_MAX / 2)},
    };
    int res = 0;
    for (size_t i = 0; i < HS_ARRAY_LEN(list) && res == 0; i++)
        if (list[i].wanted)
            res = set_int(io, fd, SOL_SOCKET, list[i].name, list[i].value);
    return res;
}

static int set_multicast_if(hs_io *io, int fd, bool v6, uint32_t ifindex)
{
    if (ifindex == 0)
        return 0;
    if (v6)
        return set_int(io, fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)ifindex);
    struct ip_mreqn by = {.imr_ifindex = (int)ifindex};
    return hs_io_sockopt(io, fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by);
}

int udp_options_apply(hs_io *io, int fd, int family, const hs_udp_options *o)
{
    bool v6 = family == AF_INET6;
    const udp_option list[] = {
        {o->ttl > 0, IP_TTL, IPV6_UNICAST_HOPS, o->ttl},
        {o->multicast_ttl > 0, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, o->multicast_ttl},
        {o->multicast_loop_off, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, 0},
        {o->tos > 0, IP_TOS, IPV6_TCLASS, o->tos},
        {o->dont_fragment, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO},
        {o->want_local, IP_PKTINFO, IPV6_RECVPKTINFO, 1},
        {o->want_tos, IP_RECVTOS, IPV6_RECVTCLASS, 1},
    };
    HS_STATIC_ASSERT((int)IP_PMTUDISC_DO == (int)IPV6_PMTUDISC_DO, "one value for both families");
    int res = set_of_socket(io, fd, o);
    if (family == AF_UNIX || res != 0)
        return res;
    /* One family a socket, as with TCP. */
    if (v6)
        res = set_int(io, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    for (size_t i = 0; i < HS_ARRAY_LEN(list) && res == 0; i++)
        if (list[i].wanted)
            res = set_int(io, fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? list[i].v6 : list[i].v4,
                          list[i].value);
    return res == 0 ? set_multicast_if(io, fd, v6, o->multicast_ifindex) : res;
}

/* ---- groups ---- */

static hs_err change_group(hs_udp_sock *s, const hs_addr *group, uint32_t ifindex, int name)
{
    HS_ASSERT(group != NULL);
    HS_ENSURE(group->sa.any.sa_family == s->family && s->family != AF_UNIX, HS_E_USAGE);
    HS_ENSURE(s->state == UDP_OPEN, HS_E_CLOSED);
    struct group_req req = {.gr_interface = ifindex};
    memcpy(&req.gr_group, &group->sa, group->len);
    int level = s->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
    hs_io *io = hs_shard_io(s->udp->shard);
    return hs_err_of(hs_io_sockopt(io, s->fd, level, name, &req, sizeof req));
}

hs_err hs_udp_join(hs_udp_sock *s, const hs_addr *group, uint32_t ifindex)
{
    return change_group(s, group, ifindex, MCAST_JOIN_GROUP);
}

hs_err hs_udp_leave(hs_udp_sock *s, const hs_addr *group, uint32_t ifindex)
{
    return change_group(s, group, ifindex, MCAST_LEAVE_GROUP);
}
