#include "DigitReader.h"

#include "classify.h"

int DigitReader::read(const uint8_t *pixels) {
    int8_t image[DIGITS_IN_IMAGE_COUNT];
    int8_t probabilities[DIGITS_OUT_OUTPUT_0_COUNT];
    digits_from_pixels(image, pixels);
    const digits_inputs in = {image};
    const digits_outputs out = {probabilities};
    return digits_invoke(&in, &out, arena) == CRANELITE_OK ? digits_most_probable(probabilities) : -1;
}
