/* The step in plain C. */
#include "decoder.h"

#define STEP edgellm_step_generic

typedef struct {
    int32_t sum[TILE];
} LANES;

static inline LANES lanes_zero(void) { return (LANES){{0}}; }

static inline LANES lanes_dot(LANES a, const uint8_t *x, const int8_t *w) {
    for (int i = 0; i < TILE; ++i)
        a.sum[i] += x[0] * w[QUAD * i] + x[1] * w[QUAD * i + 1] + x[2] * w[QUAD * i + 2] + x[3] * w[QUAD * i + 3];
    return a;
}

static inline void lanes_store(int32_t *out, LANES a, const int32_t *correction) {
    for (int i = 0; i < TILE; ++i) out[i] = a.sum[i] + correction[i];
}

#include "arithmetic.inc"
