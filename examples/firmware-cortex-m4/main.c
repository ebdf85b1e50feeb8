/* Firmware that classifies handwritten digits, and counts the instructions of one inference. No libc. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "digits.h"
#include "test_digits.h"

static _Alignas(DIGITS_ARENA_ALIGN) uint8_t arena[DIGITS_ARENA_BYTES];

/* The most probable class of a test digit, or -1, and the instructions that the model spent. Pixels are 0 to 16. */
static int classify(int which, uint32_t *spent) {
    int8_t image[DIGITS_IN_IMAGE_COUNT];
    int8_t probabilities[DIGITS_OUT_OUTPUT_0_COUNT];
    for (size_t p = 0; p < sizeof image; p++) {
        /* Never negative, so adding a half and cutting rounds. */
        const float steps = (float)test_pixels[which][p] / 16.0f / DIGITS_IN_IMAGE_SCALE + 0.5f;
        const int q = (int)steps + DIGITS_IN_IMAGE_ZERO_POINT;
        image[p] = (int8_t)(q > 127 ? 127 : q);
    }
    const digits_inputs in = {image};
    const digits_outputs out = {probabilities};
    const uint32_t start = now();
    const cranelite_status status = digits_invoke(&in, &out, arena);
    *spent = instructions_since(start);
    if (status != CRANELITE_OK) {
        return -1;
    }
    int best = 0;
    for (int c = 1; c < 10; c++) {
        if (probabilities[best] < probabilities[c]) {
            best = c;
        }
    }
    return best;
}

int main(void) {
    uint32_t right = 0, all = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        uint32_t spent;
        const int class = classify(i, &spent);
        if (class < 0) {
            print("digits_invoke failed\n");
            return 1;
        }
        if (i < 5) {
            print("this is a ");
            print_number((uint32_t)class);
            print("\n");
        }
        right += class == test_labels[i];
        all += spent;
    }
    print_number(right);
    print(" of 360 digits right\n");
    print_number(all / TEST_COUNT);
    print(" instructions per inference\n");
    return 0;
}
