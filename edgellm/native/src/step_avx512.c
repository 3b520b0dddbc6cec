/* The step for x86 with AVX-512 and VNNI: VPDPBUSD takes a quad of 16 outputs at once, without saturation. */
#if defined(__x86_64__) && defined(__GNUC__)
#include <math.h>
#include <string.h>

#include "decoder.h"
#include "target.h"
TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,bmi2,fma")
#include <immintrin.h>

#define STEP edgellm_step_avx512

typedef __m512i LANES;

static inline LANES lanes_zero(void) { return _mm512_setzero_si512(); }

static inline LANES lanes_dot(LANES a, const uint8_t *x, const int8_t *w) {
    int32_t quad;
    __builtin_memcpy(&quad, x, sizeof quad);
    return _mm512_dpbusd_epi32(a, _mm512_set1_epi32(quad), _mm512_loadu_si512(w));
}

static inline void lanes_store(int32_t *out, LANES a, const int32_t *correction) {
    _mm512_storeu_si512(out, _mm512_add_epi32(a, _mm512_loadu_si512(correction)));
}

#include "arithmetic.inc"
TARGET_END
#endif
