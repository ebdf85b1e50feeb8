// A sketch as Arduino's tools compile it, with -DSKETCH='"FILE.ino"'; loop() runs five times.
#include "Arduino.h"

void setup();
void loop();

#include SKETCH

int main() {
    setup();
    for (int i = 0; i < 5; i++) {
        loop();
    }
    return 0;
}
