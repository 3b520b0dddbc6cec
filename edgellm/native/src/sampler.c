/* The choice among logits: greedy, or Gumbel-max with counted randomness (docs/numerics.md, "Sampling"). */
#include "decoder.h"

enum { ROUNDS = 13, FRACTION_BITS = 4, RAMP_BITS = 8, SPARE_BITS = 4 };

static uint32_t rotated(uint32_t word, int turn) { return word << turn | word >> (32 - turn); }

/* Threefry-2x32 (Salmon et al. 2011). */
static void threefry(const uint32_t key[3], uint32_t *first, uint32_t *second) {
    static const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    uint32_t x = *first + key[0], y = *second + key[1];
    for (uint32_t number = 0; number < ROUNDS; ++number) {
        x += y;
        y = rotated(y, rotations[number % 8]) ^ x;
        if ((number + 1) % 4 == 0) {
            const uint32_t group = (number + 1) / 4;
            x += key[group % 3];
            y += key[(group + 1) % 3] + group;
        }
    }
    *first = x;
    *second = y;
}

/* Gumbel noise of a random word, in 1/1024 nats. */
static int64_t noise(const edgellm_decoder *d, uint32_t word) {
    const uint32_t odd = word | 1; /* so that there is a leading one */
    const int octave = __builtin_clz(odd);
    const uint32_t behind = octave == 31 ? 0 : odd << (octave + 1);
    const uint32_t index = (uint32_t)octave << FRACTION_BITS | behind >> (32 - FRACTION_BITS);
    const int32_t ramp = (int32_t)(behind >> (32 - FRACTION_BITS - RAMP_BITS) & ((1 << RAMP_BITS) - 1));
    return d->noise_base[index] - (d->noise_drop[index] * ramp >> RAMP_BITS);
}

static int32_t greedy(const int16_t *logits, int32_t count) {
    int16_t most = logits[0];
    int32_t index = 0;
    for (int32_t i = 1; i < count; ++i) most = logits[i] > most ? logits[i] : most;
    while (logits[index] != most) ++index;
    return index;
}

int32_t edgellm_choose_token(const edgellm_decoder *d, const edgellm_request *wish, const int16_t *logits, int32_t position) {
    if (!wish->temperature) return greedy(logits, d->shape.vocab);
    const uint32_t low = (uint32_t)wish->seed, high = (uint32_t)(wish->seed >> 32), key[3] = {low, high, 0x1BD11BDA ^ low ^ high};
    const int64_t half = (int64_t)1 << (wish->noise_shift - 1);
    int64_t most = INT64_MIN;
    int32_t index = 0;
    for (int32_t i = 0; i < d->shape.vocab; i += 2) {
        uint32_t words[2] = {(uint32_t)position, (uint32_t)i / 2};
        threefry(key, &words[0], &words[1]);
        for (int32_t k = 0; k < 2 && i + k < d->shape.vocab; ++k) {
            const int64_t shaken = (noise(d, words[k]) * wish->temperature + half) >> wish->noise_shift;
            const int64_t score = (int64_t)logits[i + k] * (1 << SPARE_BITS) + shaken;
            if (score > most) {
                most = score;
                index = i + k;
            }
        }
    }
    return index;
}
