/* The integer decoder of docs/numerics.md in C: what a host program calls.
 *
 * A decoder has slots, as the accelerator has: a prompt is submitted to a slot, `edgellm_run` feeds all busy slots side by side and
 * writes an event for every token. Numbers are those of the contract, so tokens are those of every other back end. Nothing here
 * checks a model: a caller does that first (edgellm.numerics.validate). A decoder is not to be used by two threads at once.
 */
#ifndef EDGELLM_H
#define EDGELLM_H

#include <stdint.h>

#if defined(_WIN32)
#define EDGELLM_API __declspec(dllexport)
#else
#define EDGELLM_API __attribute__((visibility("default")))
#endif

typedef struct edgellm_decoder edgellm_decoder;

/* Shape, constants and widths of a model; then how many slots, and rows (tokens of any slots) a step takes. */
typedef struct {
    int32_t vocab, width, layers, heads, kv_heads, head_dim, ffn, context;
    int32_t norm_shift, score_mult, score_shift, glu_shift, embed_shift;
    int32_t activation_bits, kv_bits, glu_bits;
    int32_t slots, rows;
} edgellm_shape;

/* Arrays as the ONNX file has them; they are copied. */
typedef struct {
    const int8_t *embedding;             /* [vocab][width] */
    const uint8_t *exp_table;            /* [256] */
    const int8_t *silu_table;            /* [256] */
    const int16_t *rope_cos, *rope_sin;  /* [context][head_dim / 2] */
    const int32_t *noise_base, *noise_drop; /* [512] */
} edgellm_tables;

typedef struct {
    const int8_t *weight; /* [inputs][outputs] */
    const int32_t *mult, *bias; /* [outputs] */
    int32_t shift;
} edgellm_linear;

enum { EDGELLM_QKV, EDGELLM_ATTN_OUT, EDGELLM_GATE_UP, EDGELLM_DOWN, EDGELLM_KINDS };

/* Who chooses the next token. */
enum { EDGELLM_SAMPLED, EDGELLM_BY_HOST };

typedef struct {
    int32_t slot, start;    /* position of the first token of the prompt; those before it are in the slot's cache */
    int32_t length, max_tokens;
    const int32_t *prompt;
    const int32_t *stop_ids;
    int32_t stop_count, mode;
    int32_t temperature;    /* steps of 1/4096; 0 is greedy */
    int32_t noise_shift;    /* `s` of docs/numerics.md, Sampling */
    uint64_t seed;
} edgellm_request;

/* Reasons of an event, numbered as the accelerator numbers them. */
enum { EDGELLM_GOES_ON, EDGELLM_STOP, EDGELLM_LENGTH, EDGELLM_CONTEXT };

/* A chosen token, or with mode BY_HOST token -1: the logits of the slot are there. */
typedef struct {
    int32_t slot, token, reason, position; /* position of the token that the logits came from */
} edgellm_event;

/* NULL when memory is short. `layers` holds EDGELLM_KINDS linears of each layer. */
EDGELLM_API edgellm_decoder *edgellm_open(const edgellm_shape *shape, const edgellm_tables *tables,
                                          const edgellm_linear *layers, const edgellm_linear *head);
EDGELLM_API void edgellm_close(edgellm_decoder *decoder);

EDGELLM_API void edgellm_submit(edgellm_decoder *decoder, const edgellm_request *request);
EDGELLM_API void edgellm_cancel(edgellm_decoder *decoder, int32_t slot);

/* Let the first `positions` of a free slot be those of another one. */
EDGELLM_API void edgellm_copy(edgellm_decoder *decoder, int32_t source, int32_t target, int32_t positions);

/* At most `steps` steps, fewer when nothing is left to do or `room` events could be exceeded; the number of events. */
EDGELLM_API int32_t edgellm_run(edgellm_decoder *decoder, int32_t steps, edgellm_event *events, int32_t room);

/* Logits int16 [vocab] of a slot's last row that had any, until its next one. */
EDGELLM_API const int16_t *edgellm_logits(const edgellm_decoder *decoder, int32_t slot);

/* Answer to an event with token -1: the token to go on with; and the reason to end with it, as of an event. */
EDGELLM_API int32_t edgellm_choose(edgellm_decoder *decoder, int32_t slot, int32_t token);

/* Which set of instructions is in use, and its use for one that is asked for by name (0 when this machine lacks it). */
EDGELLM_API const char *edgellm_variant(void);
EDGELLM_API int32_t edgellm_use(const char *variant);

#endif
