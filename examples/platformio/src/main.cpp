// The sketch of the library, as PlatformIO wants it.
#include <Arduino.h>

#include "Digits.ino"
