/* What a decoder holds, shared by the session (session.c) and the arithmetic (arithmetic.inc). */
#ifndef EDGELLM_DECODER_H
#define EDGELLM_DECODER_H

#include "edgellm.h"

#define TILE 16 /* outputs that a kernel makes at once: a vector of 32-bit sums */
#define QUAD 4  /* inputs that it takes at once: bytes of one such lane */
#define OFFSET 128 /* added to activations, since instructions multiply unsigned by signed bytes */

#define ROUND_UP(n, unit) (((n) + (unit)-1) / (unit) * (unit))

/* int8 [inputs][outputs] as [outputs / TILE][inputs / QUAD][TILE][QUAD], padded with zeros. */
typedef struct {
    int8_t *weight;
    int32_t *correction; /* [outputs]: -OFFSET times the sum of the column */
    int32_t quads, tiles;
} matrix;

typedef struct {
    matrix matrix;
    int32_t *mult, *bias; /* [outputs], padded */
    int32_t shift, outputs;
    int32_t narrow; /* acc * mult + bias cannot leave 32 bits */
} linear;

/* Keys and values of a slot: for every layer and KV head a matrix of keys (outputs are positions), one of values (inputs are). */
typedef struct {
    int8_t *keys, *values;
    int32_t *correction; /* of the keys */
} cache;

typedef struct {
    int32_t slot, token, position, wanted; /* wanted: its logits are */
} row;

typedef struct {
    int32_t busy, waiting; /* waiting for the host's choice */
    int32_t start, fed, length, produced;
    int32_t *pending; /* [context]: tokens to be fed, the prompt's at first */
    uint8_t *stops;   /* [vocab / 8] */
    edgellm_request wish;
    int16_t *logits; /* [vocab] */
    cache cache;
} slot;

/* Where one step keeps what flows: [rows] of each. */
typedef struct {
    int16_t *residual;  /* [width] */
    uint8_t *x;         /* [inputs]: what enters a linear layer, OFFSET added */
    int32_t *acc;       /* [outputs] */
    int8_t *bytes;      /* [outputs] */
    uint8_t *queries;   /* [heads][head_dim], OFFSET added; of one row */
    int32_t *scores;    /* [heads / kv_heads][context]; of one row and KV head */
    uint8_t *weights;   /* the same of softmax */
    int32_t *mixed;     /* [heads / kv_heads][head_dim] */
    int32_t *zeros;     /* a correction of nothing */
    int32_t x_stride, acc_stride, head_stride, mixed_stride, position_stride;
} scratch;

struct edgellm_decoder {
    edgellm_shape shape;
    int8_t *embedding, *silu_table;
    uint8_t *exp_table;
    int16_t *rope_cos, *rope_sin;
    int32_t *noise_base, *noise_drop;
    int32_t far;   /* the least distance from the largest score whose index is the table's last */
    linear *layers, head;
    slot *slots;
    row *rows;
    int32_t next;  /* slot whose prompt is served first */
    scratch scratch;
};

/* One token of each of `count` rows through the model; rows of a slot are neighbours in ascending positions. */
typedef void (*step_function)(edgellm_decoder *decoder, const row *rows, int32_t count);

extern step_function edgellm_step; /* of the set of instructions in use (dispatch.c) */

int32_t edgellm_choose_token(const edgellm_decoder *decoder, const edgellm_request *wish, const int16_t *logits, int32_t position);

#endif
