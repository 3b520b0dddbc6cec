/* A host program without Python: reads a model and a prompt from standard input, writes events and logits to standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "edgellm.h"

static void *take(size_t bytes) {
    void *place = malloc(bytes + 1);
    if (!place || fread(place, 1, bytes, stdin) != bytes) exit(2);
    return place;
}

static edgellm_linear linear(int inputs, int outputs) {
    edgellm_linear l;
    l.weight = take((size_t)inputs * outputs);
    l.mult = take(4u * outputs);
    l.bias = take(4u * outputs);
    l.shift = *(int32_t *)take(4);
    return l;
}

int main(int count, char **arguments) {
    if (count > 1 && !edgellm_use(arguments[1])) return 3;
    const edgellm_shape *s = take(sizeof *s);
    edgellm_tables t;
    t.embedding = take((size_t)s->vocab * s->width);
    t.exp_table = take(256);
    t.silu_table = take(256);
    t.rope_cos = take((size_t)s->context * s->head_dim);
    t.rope_sin = take((size_t)s->context * s->head_dim);
    t.noise_base = take(4 * 512);
    t.noise_drop = take(4 * 512);
    edgellm_linear *layers = malloc(sizeof *layers * EDGELLM_KINDS * s->layers);
    for (int i = 0; i < s->layers; ++i) {
        layers[EDGELLM_KINDS * i + EDGELLM_QKV] = linear(s->width, (s->heads + 2 * s->kv_heads) * s->head_dim);
        layers[EDGELLM_KINDS * i + EDGELLM_ATTN_OUT] = linear(s->heads * s->head_dim, s->width);
        layers[EDGELLM_KINDS * i + EDGELLM_GATE_UP] = linear(s->width, 2 * s->ffn);
        layers[EDGELLM_KINDS * i + EDGELLM_DOWN] = linear(s->ffn, s->width);
    }
    const edgellm_linear head = linear(s->width, s->vocab);
    edgellm_decoder *d = edgellm_open(s, &t, layers, &head);
    if (!d) return 4;
    const int32_t *wish = take(5 * 4); /* length, max_tokens, temperature, noise shift, seed */
    edgellm_request request = {.length = wish[0], .max_tokens = wish[1], .temperature = wish[2], .noise_shift = wish[3], .seed = wish[4]};
    request.prompt = take(4u * request.length);
    edgellm_submit(d, &request);
    edgellm_event events[64];
    for (int32_t n; (n = edgellm_run(d, 1 << 20, events, 64)) > 0;)
        for (int32_t i = 0; i < n; ++i) printf("%d %d\n", events[i].token, events[i].reason);
    fprintf(stderr, "%s\n", edgellm_variant());
    for (int32_t i = 0; i < s->vocab; ++i) printf("%d\n", edgellm_logits(d, 0)[i]);
    edgellm_close(d);
    return 0;
}
