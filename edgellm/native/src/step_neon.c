/* The step for Arm with NEON: VLD4 parts the quads, products of 16 bits are added in 32. */
#if defined(__aarch64__) || (defined(__arm__) && defined(__GNUC__) && !defined(__SOFTFP__))
#include <math.h>
#include <string.h>

#include "decoder.h"
#include "target.h"
#if defined(__arm__)
TARGET_BEGIN("fpu=neon")
#endif
#include <arm_neon.h>

#define STEP edgellm_step_neon

typedef struct {
    int32x4_t sums[4];
} LANES;

static inline LANES lanes_zero(void) {
    const int32x4_t zero = vdupq_n_s32(0);
    return (LANES){{zero, zero, zero, zero}};
}

static inline LANES lanes_dot(LANES a, const uint8_t *x, const int8_t *w) {
    const int8x16x4_t parts = vld4q_s8(w);
    for (int k = 0; k < QUAD; ++k) {
        const int16x8_t low = vmovl_s8(vget_low_s8(parts.val[k])), high = vmovl_s8(vget_high_s8(parts.val[k]));
        a.sums[0] = vmlal_n_s16(a.sums[0], vget_low_s16(low), x[k]);
        a.sums[1] = vmlal_n_s16(a.sums[1], vget_high_s16(low), x[k]);
        a.sums[2] = vmlal_n_s16(a.sums[2], vget_low_s16(high), x[k]);
        a.sums[3] = vmlal_n_s16(a.sums[3], vget_high_s16(high), x[k]);
    }
    return a;
}

static inline void lanes_store(int32_t *out, LANES a, const int32_t *correction) {
    for (int i = 0; i < 4; ++i) vst1q_s32(out + 4 * i, vaddq_s32(a.sums[i], vld1q_s32(correction + 4 * i)));
}

#include "arithmetic.inc"
#if defined(__arm__)
TARGET_END
#endif
#endif
