#include "wake_word.h"

#include "wake.h"

/* What ESPHome's manifest of a model says: the mean of so many answers must reach the cutoff. */
enum { ANSWERS = 5, CUTOFF = 248 /* of 256: 0.97 */ };
/* So many answers count for nothing after the start, when the model knows too little, and after the word, which it still hears. */
enum { DEAF = 25 };

/* All the memory that the model ever needs, to the byte. The state is what it keeps of the frames before. */
static _Alignas(WAKE_ARENA_ALIGN) uint8_t arena[WAKE_ARENA_BYTES];
static _Alignas(WAKE_STATE_ALIGN) uint8_t state[WAKE_STATE_BYTES];

/* Features until there are as many as the model takes at once. */
static int8_t gathered[WAKE_IN_INPUT_AUDIO_COUNT];
static int count;

static uint8_t answers[ANSWERS];
static int next, deaf;

void wake_word_start(void) {
    (void)wake_reset(state); /* which fails if the memory is not aligned, and it is */
    count = next = 0;
    deaf = DEAF;
}

uint8_t wake_word_probability(void) { return answers[(next + ANSWERS - 1) % ANSWERS]; }

bool wake_word_hear(const int8_t features[FEATURES]) {
    for (int i = 0; i < FEATURES; i++) {
        gathered[count++] = features[i];
    }
    if (count < WAKE_IN_INPUT_AUDIO_COUNT) {
        return false;
    }
    count = 0;
    const wake_inputs in = {gathered};
    const wake_outputs out = {&answers[next]};
    if (wake_invoke(&in, &out, arena, state) != CRANELITE_OK) {
        return false;
    }
    next = (next + 1) % ANSWERS;
    if (0 < deaf) {
        deaf--;
        return false;
    }
    int sum = 0;
    for (int i = 0; i < ANSWERS; i++) {
        sum += answers[i];
    }
    if (sum < ANSWERS * CUTOFF) {
        return false;
    }
    deaf = DEAF;
    return true;
}
