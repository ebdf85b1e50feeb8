/* Firmware that classifies handwritten digits, and counts the instructions of one inference. No libc. */
#include <stdint.h>

#include "board.h"
#include "classify.h"
#include "test_digits.h"

static _Alignas(DIGITS_ARENA_ALIGN) uint8_t arena[DIGITS_ARENA_BYTES];

/* The most probable class of a test digit, or -1, and the instructions that the model spent. */
static int classify(int which, uint32_t *spent) {
    int8_t image[DIGITS_IN_IMAGE_COUNT];
    int8_t probabilities[DIGITS_OUT_OUTPUT_0_COUNT];
    digits_from_pixels(image, test_pixels[which]);
    const digits_inputs in = {image};
    const digits_outputs out = {probabilities};
    const uint32_t start = now();
    const cranelite_status status = digits_invoke(&in, &out, arena);
    *spent = instructions_since(start);
    return status == CRANELITE_OK ? digits_most_probable(probabilities) : -1;
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
