/* Fuzzes JSON texts; the first byte is how deep one may go.
 *
 * Checked: no byte outside is read; what is taken is no deeper than it may be, has strings of UTF-8
 * alone, and is taken again, the same, when yyjson has written it; what is not taken has its place
 * in the text. */
#include <string.h>
#include <yyjson.h>

#include "hs_assert.h"
#include "hs_json.h"
#include "hs_limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of a document that is no deeper than HS_JSON_DEPTH_MAX. */
static uint32_t depth_of(yyjson_val *v)
{
    uint32_t deepest = 0;
    size_t i, max;
    yyjson_val *key, *each;
    yyjson_arr_foreach(v, i, max, each) deepest = HS_MAX(deepest, depth_of(each));
    yyjson_obj_foreach(v, i, max, key, each) deepest = HS_MAX(deepest, depth_of(each));
    return deepest + yyjson_is_ctn(v);
}

static void check_again(yyjson_doc *doc)
{
    size_t len;
    yyjson_doc *again;
    char *text = yyjson_write(doc, YYJSON_WRITE_NOFLAG, &len);
    HS_ASSERT(text != NULL); /* with UTF-8 and finite numbers alone it can be written */
    hs_err err = hs_json_parse(hs_mem_system(), hs_span_of(text, len), NULL, &again, NULL);
    HS_ASSERT(hs_ok(err));
    HS_ASSERT(yyjson_equals(yyjson_doc_get_root(doc), yyjson_doc_get_root(again)));
    yyjson_doc_free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    yyjson_doc *doc;
    hs_json_error e;
    if (size == 0)
        return 0;
    hs_json_limits limits = {.depth_max = data[0] % HS_JSON_DEPTH_MAX};
    uint32_t depth_max = limits.depth_max ? limits.depth_max : HS_JSON_DEPTH_MAX;
    hs_span text = hs_span_of(data + 1, size - 1);
    hs_err err = hs_json_parse(hs_mem_system(), text, &limits, &doc, &e);
    if (!hs_ok(err)) {
        HS_ASSERT(err.code == HS_E_JSON || err.code == HS_E_LIMIT);
        HS_ASSERT(e.offset <= text.len && e.line >= 1 && e.column >= 1 && e.text[0] != '\0');
        HS_ASSERT(e.line + e.column <= e.offset + 2);
        return 0;
    }
    HS_ASSERT(depth_of(yyjson_doc_get_root(doc)) <= depth_max);
    check_again(doc);
    yyjson_doc_free(doc);
    return 0;
}
