/* Recognises the test gestures with the model that CMake compiled and linked. */
#include <stdio.h>

#include "cranelite_arena.h"
#include "gestures.h"
#include "test_gestures.h"

CRANELITE_STATIC_ARENA(arena, GESTURES);

int main(void) {
    int right = 0;
    for (int i = 0; i < TEST_GESTURES; i++) {
        int8_t scores[4];
        const gestures_inputs in = {gesture_samples[i]};
        const gestures_outputs out = {scores};
        cranelite_status status = gestures_invoke(&in, &out, arena);
        if (status != CRANELITE_OK) {
            fprintf(stderr, "gestures_invoke: status %d\n", (int)status);
            return 1;
        }
        int best = 0;
        for (int c = 1; c < 4; c++) {
            best = scores[best] < scores[c] ? c : best;
        }
        right += best == gesture_kinds[i];
    }
    printf("%d of %d gestures right\n", right, TEST_GESTURES);
    return 0;
}
