/* Reads handwritten digits. Calls of several tasks must not overlap: they share the model's memory. */
#ifndef DIGIT_READER_H
#define DIGIT_READER_H

#include <stdint.h>

/* The digit in 8 x 8 pixels from 0 to 16, or -1. */
int digit_reader_read(const uint8_t pixels[64]);

#endif
