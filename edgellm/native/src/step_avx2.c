/* The step for x86 with AVX2: bytes are widened, since VPMADDUBSW saturates; VPMADDWD adds pairs, which are added at the end. */
#if defined(__x86_64__) && defined(__GNUC__)
#include <math.h>
#include <string.h>

#include "decoder.h"
#include "target.h"
TARGET_BEGIN("avx2,bmi2,fma")
#include <immintrin.h>

#define STEP edgellm_step_avx2

typedef struct {
    __m256i pairs[4]; /* of four outputs each: two halves of a quad's sum side by side */
} LANES;

static inline LANES lanes_zero(void) {
    const __m256i zero = _mm256_setzero_si256();
    return (LANES){{zero, zero, zero, zero}};
}

static inline LANES lanes_dot(LANES a, const uint8_t *x, const int8_t *w) {
    int32_t quad;
    __builtin_memcpy(&quad, x, sizeof quad);
    const __m256i inputs = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(quad)));
    for (int i = 0; i < 4; ++i) {
        const __m256i weights = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 16 * i)));
        a.pairs[i] = _mm256_add_epi32(a.pairs[i], _mm256_madd_epi16(inputs, weights));
    }
    return a;
}

static inline void lanes_store(int32_t *out, LANES a, const int32_t *correction) {
    for (int i = 0; i < 2; ++i) {
        /* adds neighbours within 128 bits: 0 1 4 5 2 3 6 7 */
        const __m256i sums = _mm256_hadd_epi32(a.pairs[2 * i], a.pairs[2 * i + 1]);
        const __m256i ordered = _mm256_permute4x64_epi64(sums, 0xD8);
        const __m256i added = _mm256_add_epi32(ordered, _mm256_loadu_si256((const __m256i *)(correction + 8 * i)));
        _mm256_storeu_si256((__m256i *)(out + 8 * i), added);
    }
}

#include "arithmetic.inc"
TARGET_END
#endif
