// The part of Arduino's functions that the sketch uses, for the machine itself.
#ifndef ARDUINO_H
#define ARDUINO_H

#include <cstdint>
#include <cstdio>
#include <ctime>

inline unsigned long micros() { return static_cast<unsigned long>(std::clock() * 1000000.0 / CLOCKS_PER_SEC); }
inline void delay(unsigned long) {}

struct Port {
    void begin(unsigned long) {}
    void print(const char *text) { std::fputs(text, stdout); }
    void println(int number) { std::printf("%d\n", number); }
    void println(unsigned long number) { std::printf("%lu\n", number); }
};
static Port Serial;

#endif
