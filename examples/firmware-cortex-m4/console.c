/* Output and end of a program, by the semihosting calls of a debugger or an emulator. */
#include "board.h"

void print(const char *text) { semihost(SYS_WRITE0, text); }

void print_number(uint32_t n) {
    char digits[11];
    char *at = digits + sizeof digits - 1;
    *at = 0;
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    print(at);
}

void leave(int code) {
    const uint32_t reason[2] = {STOPPED, (uint32_t)code};
    for (;;) {
        semihost(SYS_EXIT_EXTENDED, reason);
    }
}
