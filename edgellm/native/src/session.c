/* Slots: what is fed next, what comes out, and when it ends (docs/numerics.md, "Generation"). */
#include <string.h>

#include "decoder.h"

void edgellm_submit(edgellm_decoder *d, const edgellm_request *request) {
    slot *s = &d->slots[request->slot];
    memcpy(s->pending, request->prompt, request->length * sizeof(int32_t));
    memset(s->stops, 0, d->shape.vocab / 8 + 1);
    for (int i = 0; i < request->stop_count; ++i) s->stops[request->stop_ids[i] / 8] |= (uint8_t)(1 << request->stop_ids[i] % 8);
    s->wish = *request;
    s->start = request->start;
    s->length = request->length;
    s->fed = s->produced = s->waiting = 0;
    s->busy = 1;
}

void edgellm_cancel(edgellm_decoder *d, int32_t index) { d->slots[index].busy = 0; }

void edgellm_copy(edgellm_decoder *d, int32_t source, int32_t target, int32_t positions) {
    const edgellm_shape *s = &d->shape;
    const cache *from = &d->slots[source].cache, *to = &d->slots[target].cache;
    const size_t all = ROUND_UP(s->context, TILE), key = ROUND_UP(s->head_dim, QUAD);
    for (size_t head = 0; head < (size_t)s->layers * s->kv_heads; ++head) {
        memcpy(to->keys + head * all * key, from->keys + head * all * key, ROUND_UP(positions, TILE) * key);
        memcpy(to->correction + head * all, from->correction + head * all, positions * sizeof(int32_t));
    }
    for (size_t tile = 0; tile < (size_t)s->layers * s->kv_heads * (ROUND_UP(s->head_dim, TILE) / TILE); ++tile)
        memcpy(to->values + tile * all * TILE, from->values + tile * all * TILE, (size_t)ROUND_UP(positions, QUAD) * TILE);
}

/* The next token of a slot as a row; its logits are wanted when it is the last there is. */
static row next_row(slot *s, int32_t index) {
    const int32_t fed = s->fed++;
    return (row){index, s->pending[fed], s->start + fed, s->fed == s->length};
}

/* One row of every slot that generates, then of prompts as many as fit, a different slot's first each time. */
static int32_t gather(edgellm_decoder *d) {
    const edgellm_shape *shape = &d->shape;
    int32_t count = 0;
    for (int32_t i = 0; i < shape->slots && count < shape->rows; ++i)
        if (d->slots[i].busy && !d->slots[i].waiting && d->slots[i].produced) d->rows[count++] = next_row(&d->slots[i], i);
    const int32_t first = d->next;
    for (int32_t n = 0; n < shape->slots && count < shape->rows; ++n) {
        const int32_t i = (first + n) % shape->slots;
        slot *s = &d->slots[i];
        if (!s->busy || s->produced || s->waiting) continue;
        while (s->fed < s->length && count < shape->rows) d->rows[count++] = next_row(s, i);
        d->next = (i + 1) % shape->slots;
    }
    return count;
}

/* A token was chosen: it becomes what the slot is fed, or the slot's last. */
static int32_t accept(edgellm_decoder *d, slot *s, int32_t token) {
    const int32_t next = s->start + s->length;
    s->produced++;
    int32_t reason = EDGELLM_GOES_ON;
    if (s->stops[token / 8] >> token % 8 & 1) reason = EDGELLM_STOP;
    else if (s->produced == s->wish.max_tokens) reason = EDGELLM_LENGTH;
    else if (next == d->shape.context) reason = EDGELLM_CONTEXT;
    if (reason) {
        s->busy = 0;
    } else { /* one token more behind those that are in the cache */
        s->start = next;
        s->length = 1;
        s->fed = 0;
        s->pending[0] = token;
    }
    return reason;
}

static edgellm_event event_of(edgellm_decoder *d, const row *r) {
    slot *s = &d->slots[r->slot];
    if (s->wish.mode == EDGELLM_BY_HOST) {
        s->waiting = 1;
        return (edgellm_event){r->slot, -1, EDGELLM_GOES_ON, r->position};
    }
    const int32_t token = edgellm_choose_token(d, &s->wish, s->logits, r->position);
    return (edgellm_event){r->slot, token, accept(d, s, token), r->position};
}

int32_t edgellm_run(edgellm_decoder *d, int32_t steps, edgellm_event *events, int32_t room) {
    int32_t made = 0;
    for (; steps > 0 && made + d->shape.slots <= room; --steps) {
        const int32_t count = gather(d);
        if (!count) break;
        edgellm_step(d, d->rows, count);
        for (int32_t i = 0; i < count; ++i)
            if (d->rows[i].wanted) events[made++] = event_of(d, &d->rows[i]);
    }
    return made;
}

const int16_t *edgellm_logits(const edgellm_decoder *d, int32_t index) { return d->slots[index].logits; }

int32_t edgellm_choose(edgellm_decoder *d, int32_t index, int32_t token) {
    slot *s = &d->slots[index];
    s->waiting = 0;
    return accept(d, s, token);
}
