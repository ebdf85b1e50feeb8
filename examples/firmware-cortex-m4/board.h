/* What a program wants of a board. No C library. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* A request to the debugger or emulator. */
enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT_EXTENDED = 0x20, STOPPED = 0x20026 };
intptr_t semihost(intptr_t operation, const void *argument);

void print(const char *text);
void print_number(uint32_t n);
void leave(int code);

/* A moment, and how many instructions were executed since; below 2^24 ticks of the clock, which are 671 million instructions at 25 MHz. */
uint32_t now(void);
uint32_t instructions_since(uint32_t moment);

#endif
