/* A whole server. cc hello.c $(pkg-config --cflags --libs httpshard) */
#include <httpshard/hs_app.h>

static void hello(hs_req *req, hs_res *res, void *ctx)
{
    (void)req, (void)ctx;
    hs_res_text(res, 200, HS_SPAN("Hello, World!"));
}

int main(int argc, char **argv)
{
    hs_app *app = hs_app_create();
    hs_app_get(app, "/hello", hello, NULL);
    return hs_app_main(app, argc, argv); /* --cores, --listen, --help, signals, drain */
}
