#include "digit_reader.h"

#include "classify.h"

static _Alignas(DIGITS_ARENA_ALIGN) uint8_t arena[DIGITS_ARENA_BYTES];

int digit_reader_read(const uint8_t pixels[64]) {
    int8_t image[DIGITS_IN_IMAGE_COUNT];
    int8_t probabilities[DIGITS_OUT_OUTPUT_0_COUNT];
    digits_from_pixels(image, pixels);
    const digits_inputs in = {image};
    const digits_outputs out = {probabilities};
    return digits_invoke(&in, &out, arena) == CRANELITE_OK ? digits_most_probable(probabilities) : -1;
}
