/* Which compilation of the step runs here. */
#include <string.h>

#include "decoder.h"

#if defined(__arm__) && defined(__linux__)
#include <sys/auxv.h>
#define HWCAP_HAS_NEON (1 << 12)
#endif

void edgellm_step_generic(edgellm_decoder *, const row *, int32_t);
void edgellm_step_avx2(edgellm_decoder *, const row *, int32_t);
void edgellm_step_avx512(edgellm_decoder *, const row *, int32_t);
void edgellm_step_neon(edgellm_decoder *, const row *, int32_t);

typedef struct {
    const char *name;
    step_function step;
    int (*works)(void);
} variant;

static int always(void) { return 1; }

#if defined(__x86_64__) && defined(__GNUC__)
static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("fma");
}
static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
}
#elif defined(__arm__) && defined(__linux__)
static int has_neon(void) { return (getauxval(AT_HWCAP) & HWCAP_HAS_NEON) != 0; }
#endif

/* The best first. */
static const variant variants[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    {"avx512", edgellm_step_avx512, has_avx512},
    {"avx2", edgellm_step_avx2, has_avx2},
#elif defined(__aarch64__)
    {"neon", edgellm_step_neon, always},
#elif defined(__arm__) && defined(__linux__)
    {"neon", edgellm_step_neon, has_neon},
#endif
    {"generic", edgellm_step_generic, always},
};

static const variant *chosen;
step_function edgellm_step = edgellm_step_generic;

static void use(const variant *v) {
    chosen = v;
    edgellm_step = v->step;
}

int32_t edgellm_use(const char *name) {
    for (size_t i = 0; i < sizeof variants / sizeof *variants; ++i)
        if (!strcmp(variants[i].name, name) && variants[i].works()) {
            use(&variants[i]);
            return 1;
        }
    return 0;
}

const char *edgellm_variant(void) {
    for (size_t i = 0; !chosen; ++i)
        if (variants[i].works()) use(&variants[i]);
    return chosen->name;
}

