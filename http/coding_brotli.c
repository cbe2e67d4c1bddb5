/* The coding br (RFC 7932), by brotli's decoder. */
#include <brotli/decode.h>
#include <errno.h>

#include "coding_inside.h"
#include "hs_assert.h"

static void *take(void *mem, size_t bytes)
{
    return coding_take(mem, bytes);
}

static void give(void *mem, void *ptr)
{
    coding_give(mem, ptr);
}

/* Windows above the format's own 16 MiB ("large window") are refused unless they are asked for. */
static hs_err br_open(coding_stage *stage)
{
    HS_ASSERT(stage->state == NULL);
    stage->state = BrotliDecoderCreateInstance(take, give, (void *)(uintptr_t)stage->mem);
    return stage->state ? HS_OK : hs_err_of(-ENOMEM);
}

static void br_close(coding_stage *stage)
{
    if (stage->state)
        BrotliDecoderDestroyInstance(stage->state);
    stage->state = NULL;
}

static hs_err error_of(const BrotliDecoderState *s)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(s);
    bool memory = code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                  code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
    return hs_err_of(memory ? -ENOMEM : HS_E_CODING);
}

static hs_err br_run(coding_stage *stage, hs_span *in, uint8_t *out, size_t room, size_t *written)
{
    HS_ASSERT(stage->state != NULL);
    HS_ENSURE(!stage->whole || in->len == 0, HS_E_CODING);
    if (stage->whole)
        return HS_OK;
    size_t left = room;
    BrotliDecoderResult r =
        BrotliDecoderDecompressStream(stage->state, &in->len, &in->ptr, &left, &out, NULL);
    if (r == BROTLI_DECODER_RESULT_ERROR)
        return error_of(stage->state);
    *written = room - left;
    stage->whole = r == BROTLI_DECODER_RESULT_SUCCESS;
    HS_ENSURE(!stage->whole || in->len == 0, HS_E_CODING);
    return HS_OK;
}

const coding_codec coding_br = {br_open, br_run, br_close};
