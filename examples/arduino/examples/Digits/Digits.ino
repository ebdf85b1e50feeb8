// Reads one test digit a second, and says which it is and how long that took.
#include <DigitReader.h>

#include "test_digits.h"

DigitReader reader;
int which = 0;

void setup() {
    Serial.begin(115200);
}

void loop() {
    const unsigned long start = micros();
    const int digit = reader.read(test_pixels[which]);
    const unsigned long spent = micros() - start;
    Serial.print("this is a ");
    Serial.println(digit);
    Serial.print("microseconds: ");
    Serial.println(spent);
    which = (which + 1) % TEST_COUNT;
    delay(1000);
}
