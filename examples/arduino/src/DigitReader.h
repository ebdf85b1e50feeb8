// Reads handwritten digits of 8 x 8 pixels.
#ifndef DIGIT_READER_H
#define DIGIT_READER_H

#include "digits.h"

class DigitReader {
  public:
    // The digit in 64 pixels from 0 to 16, row by row, or -1.
    int read(const uint8_t *pixels);

  private:
    // All the memory that the model ever needs.
    alignas(DIGITS_ARENA_ALIGN) uint8_t arena[DIGITS_ARENA_BYTES];
};

#endif
