/* Making a decoder: one piece of memory for all of it, weights put into tiles. */
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

enum { ALIGNMENT = 64, TABLE = 256, NOISE = 512 };

/* Memory is laid out twice: first with no base, to learn how much is needed. */
typedef struct {
    char *base;
    uint64_t used;
} arena;

static void *take(arena *a, uint64_t bytes) {
    void *place = a->base ? a->base + (size_t)a->used : NULL;
    a->used += ROUND_UP(bytes, ALIGNMENT);
    return place;
}

static void lay_linear(arena *a, linear *l, int inputs, int outputs) {
    const int padded = ROUND_UP(outputs, TILE);
    l->outputs = outputs;
    l->matrix.quads = ROUND_UP(inputs, QUAD) / QUAD;
    l->matrix.tiles = padded / TILE;
    l->matrix.weight = take(a, (uint64_t)padded * ROUND_UP(inputs, QUAD));
    l->matrix.correction = take(a, padded * sizeof(int32_t));
    l->mult = take(a, padded * sizeof(int32_t));
    l->bias = take(a, padded * sizeof(int32_t));
}

static int qkv_width(const edgellm_shape *s) { return (s->heads + 2 * s->kv_heads) * s->head_dim; }

static void kind_shape(const edgellm_shape *s, int kind, int *inputs, int *outputs) {
    const int attention = s->heads * s->head_dim;
    const int in[EDGELLM_KINDS] = {s->width, attention, s->width, s->ffn};
    const int out[EDGELLM_KINDS] = {qkv_width(s), s->width, 2 * s->ffn, s->width};
    *inputs = in[kind];
    *outputs = out[kind];
}

static void lay_model(arena *a, edgellm_decoder *d) {
    const edgellm_shape *s = &d->shape;
    d->embedding = take(a, (uint64_t)s->vocab * s->width);
    d->exp_table = take(a, TABLE);
    d->silu_table = take(a, TABLE);
    d->rope_cos = take(a, (uint64_t)s->context * s->head_dim / 2 * sizeof(int16_t));
    d->rope_sin = take(a, (uint64_t)s->context * s->head_dim / 2 * sizeof(int16_t));
    d->noise_base = take(a, NOISE * sizeof(int32_t));
    d->noise_drop = take(a, NOISE * sizeof(int32_t));
    linear unplaced, *layers = d->layers = take(a, (uint64_t)s->layers * EDGELLM_KINDS * sizeof(linear));
    for (int i = 0; i < s->layers * EDGELLM_KINDS; ++i) {
        int inputs, outputs;
        kind_shape(s, i % EDGELLM_KINDS, &inputs, &outputs);
        lay_linear(a, layers ? &layers[i] : &unplaced, inputs, outputs);
    }
    lay_linear(a, &d->head, s->width, s->vocab);
}

static void lay_slots(arena *a, edgellm_decoder *d) {
    const edgellm_shape *s = &d->shape;
    const uint64_t heads = (uint64_t)s->layers * s->kv_heads, positions = ROUND_UP(s->context, TILE);
    slot unplaced, *slots = d->slots = take(a, s->slots * sizeof(slot));
    for (int i = 0; i < s->slots; ++i) {
        slot *one = slots ? &slots[i] : &unplaced;
        one->pending = take(a, s->context * sizeof(int32_t));
        one->stops = take(a, s->vocab / 8 + 1);
        one->logits = take(a, s->vocab * sizeof(int16_t));
        one->cache.keys = take(a, heads * positions * ROUND_UP(s->head_dim, QUAD));
        one->cache.values = take(a, heads * positions * ROUND_UP(s->head_dim, TILE));
        one->cache.correction = take(a, heads * positions * sizeof(int32_t));
    }
}

static int most(int a, int b) { return a > b ? a : b; }

/* A stride of an odd number of cache lines, so that rows do not fall into the same sets. */
static int odd_lines(int bytes) { return ROUND_UP(bytes, ALIGNMENT) + (ROUND_UP(bytes, ALIGNMENT) / ALIGNMENT % 2 ? 0 : ALIGNMENT); }

static void lay_scratch(arena *a, edgellm_decoder *d) {
    const edgellm_shape *s = &d->shape;
    scratch *w = &d->scratch;
    const uint64_t rows = s->rows, group = s->heads / s->kv_heads;
    w->x_stride = odd_lines(most(most(s->width, s->ffn), s->heads * s->head_dim));
    w->acc_stride = odd_lines(most(most(qkv_width(s), 2 * s->ffn), most(s->width, s->vocab)));
    w->head_stride = ROUND_UP(s->head_dim, QUAD);
    w->mixed_stride = ROUND_UP(s->head_dim, TILE);
    w->position_stride = ROUND_UP(s->context, TILE);
    w->residual = take(a, rows * s->width * sizeof(int16_t));
    w->x = take(a, rows * w->x_stride);
    w->acc = take(a, rows * w->acc_stride * sizeof(int32_t));
    w->bytes = take(a, rows * w->acc_stride);
    w->queries = take(a, (uint64_t)s->heads * w->head_stride);
    w->scores = take(a, group * w->position_stride * sizeof(int32_t));
    w->weights = take(a, group * w->position_stride);
    w->mixed = take(a, group * w->mixed_stride * sizeof(int32_t));
    w->zeros = take(a, w->mixed_stride * sizeof(int32_t));
    d->rows = take(a, rows * sizeof(row));
}

static uint64_t lay(edgellm_decoder *d, char *base) {
    arena a = {base, 0};
    take(&a, sizeof *d);
    lay_model(&a, d);
    lay_slots(&a, d);
    lay_scratch(&a, d);
    return a.used;
}

static void fill_matrix(matrix *m, const int8_t *weight, int inputs, int outputs) {
    for (int k = 0; k < inputs; ++k)
        for (int n = 0; n < outputs; ++n) {
            const int8_t w = weight[(size_t)k * outputs + n];
            m->weight[((size_t)n / TILE * m->quads + k / QUAD) * TILE * QUAD + n % TILE * QUAD + k % QUAD] = w;
            m->correction[n] -= OFFSET * w;
        }
}

/* Whether no input can take acc * mult + bias out of 32 bits. */
static int is_narrow(const edgellm_linear *l, int inputs, int outputs) {
    for (int n = 0; n < outputs; ++n) {
        int64_t sum = 0;
        for (int k = 0; k < inputs; ++k) sum += llabs(l->weight[(size_t)k * outputs + n]);
        if (128 * sum * l->mult[n] + llabs(l->bias[n]) > INT32_MAX) return 0;
    }
    return 1;
}

static void fill_linear(linear *into, const edgellm_linear *from, int inputs, int outputs) {
    fill_matrix(&into->matrix, from->weight, inputs, outputs);
    memcpy(into->mult, from->mult, outputs * sizeof(int32_t));
    memcpy(into->bias, from->bias, outputs * sizeof(int32_t));
    into->shift = from->shift;
    into->narrow = is_narrow(from, inputs, outputs);
}

static void fill_tables(edgellm_decoder *d, const edgellm_tables *t) {
    const edgellm_shape *s = &d->shape;
    const size_t angles = (size_t)s->context * s->head_dim / 2 * sizeof(int16_t);
    memcpy(d->embedding, t->embedding, (size_t)s->vocab * s->width);
    memcpy(d->exp_table, t->exp_table, TABLE);
    memcpy(d->silu_table, t->silu_table, TABLE);
    memcpy(d->rope_cos, t->rope_cos, angles);
    memcpy(d->rope_sin, t->rope_sin, angles);
    memcpy(d->noise_base, t->noise_base, NOISE * sizeof(int32_t));
    memcpy(d->noise_drop, t->noise_drop, NOISE * sizeof(int32_t));
    d->far = (int32_t)(((255LL << s->score_shift) + s->score_mult - 1) / s->score_mult);
}

edgellm_decoder *edgellm_open(const edgellm_shape *shape, const edgellm_tables *tables, const edgellm_linear *layers,
                              const edgellm_linear *head) {
    edgellm_decoder sizes = {.shape = *shape};
    const uint64_t bytes = lay(&sizes, NULL);
    void *place = NULL;
    if (bytes > SIZE_MAX / 2 || posix_memalign(&place, ALIGNMENT, (size_t)bytes)) return NULL;
    memset(place, 0, (size_t)bytes);
    edgellm_decoder *d = place;
    d->shape = *shape;
    lay(d, place);
    fill_tables(d, tables);
    for (int i = 0; i < shape->layers * EDGELLM_KINDS; ++i) {
        int inputs, outputs;
        kind_shape(shape, i % EDGELLM_KINDS, &inputs, &outputs);
        fill_linear(&d->layers[i], &layers[i], inputs, outputs);
    }
    fill_linear(&d->head, head, shape->width, shape->vocab);
    edgellm_variant();
    return d;
}

void edgellm_close(edgellm_decoder *decoder) { free(decoder); }
