/* Finds and reads digits in frames of a camera, which are PPM files here. Comments "# left top right bottom digit" in a file say what is in the
   scene, so that the answers can be judged. All that a firmware needs is one call of detect_run: the camera's bytes in, boxes and labels out.
   No heap. With one file, the picture with the boxes is written to found.png. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "detect.h"

#define WIDTH 160 /* as in detect.toml */
#define HEIGHT 120
#define ZOOM 3 /* of found.png */

static _Alignas(DETECT_ARENA_ALIGN) unsigned char arena[DETECT_ARENA_BYTES];
static uint8_t frame[HEIGHT][WIDTH][3];

struct digit {
    float box[4];
    int label;
};

/* Reads a frame, and what is in the scene: how many digits, or -1. */
static int read_scene(const char *path, struct digit *there, int most) {
    char line[128];
    int count = 0, width = 0, height = 0;
    FILE *f = fopen(path, "rb");
    if (!f || !fgets(line, sizeof line, f) || strcmp(line, "P6\n") != 0) {
        return -1;
    }
    while (fgets(line, sizeof line, f) && line[0] == '#') {
        struct digit *d = &there[count];
        count += count < most && sscanf(line, "# %f %f %f %f %d", &d->box[0], &d->box[1], &d->box[2], &d->box[3], &d->label) == 5;
    }
    const int is_frame = sscanf(line, "%d %d", &width, &height) == 2 && width == WIDTH && height == HEIGHT && fgets(line, sizeof line, f) &&
                         fread(frame, sizeof frame, 1, f) == 1;
    fclose(f);
    return is_frame ? count : -1;
}

/* How much of two boxes is common: intersection over union. */
static float overlap(const float a[4], const float b[4]) {
    const float left = a[0] > b[0] ? a[0] : b[0], top = a[1] > b[1] ? a[1] : b[1];
    const float right = a[2] < b[2] ? a[2] : b[2], bottom = a[3] < b[3] ? a[3] : b[3];
    const float common = right > left && bottom > top ? (right - left) * (bottom - top) : 0;
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common);
}

static uint8_t picture[HEIGHT * ZOOM][1 + WIDTH * ZOOM * 3]; /* as PNG has it: the row's filter, 0, and the pixels */

static void fill(int left, int top, int right, int bottom) {
    static const uint8_t colour[3] = {255, 255, 0};
    for (int y = top < 0 ? 0 : top; y < bottom && y < HEIGHT * ZOOM; y++) {
        for (int x = left < 0 ? 0 : left; x < right && x < WIDTH * ZOOM; x++) {
            memcpy(&picture[y][1 + x * 3], colour, 3);
        }
    }
}

static void draw(const float box[4], int digit) {
    /* Three columns and five rows of each digit, from the upper left. */
    static const uint16_t font[10] = {075557, 022222, 071747, 071717, 055711, 074717, 074757, 071111, 075757, 075717};
    const int left = (int)(box[0] * ZOOM), top = (int)(box[1] * ZOOM), right = (int)(box[2] * ZOOM), bottom = (int)(box[3] * ZOOM);
    fill(left - 2, top - 2, right + 2, top);
    fill(left - 2, bottom, right + 2, bottom + 2);
    fill(left - 2, top, left, bottom);
    fill(right, top, right + 2, bottom);
    const int text = top > 18 ? top - 18 : bottom + 4;
    for (int i = 0; i < 15; i++) {
        if (font[digit] >> (14 - i) & 1) {
            fill(left + i % 3 * 3, text + i / 3 * 3, left + i % 3 * 3 + 3, text + i / 3 * 3 + 3);
        }
    }
}

static uint8_t *big_endian(uint8_t *at, uint32_t v) {
    for (int i = 0; i < 4; i++) {
        *at++ = (uint8_t)(v >> (24 - 8 * i));
    }
    return at;
}

/* A chunk of a PNG file: its length, and its name and data with their CRC. */
static void chunk(FILE *f, const uint8_t *data, uint32_t size) {
    uint8_t word[4];
    uint32_t crc = 0xffffffff;
    for (uint32_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    big_endian(word, size - 4);
    fwrite(word, 4, 1, f);
    fwrite(data, size, 1, f);
    big_endian(word, ~crc);
    fwrite(word, 4, 1, f);
}

/* The picture as PNG, not compressed: each row is a stored block of zlib's. */
static int write_png(const char *path) {
    enum { ROW = sizeof picture[0], ROWS = HEIGHT * ZOOM };
    static uint8_t data[4 + 2 + ROWS * (5 + ROW) + 4];
    uint8_t header[17] = "IHDR", *at = data;
    uint32_t a = 1, b = 0;
    FILE *f = fopen(path, "wb");
    if (!f) {
        return 0;
    }
    memcpy(big_endian(big_endian(header + 4, WIDTH * ZOOM), ROWS), "\10\2\0\0", 5);
    memcpy(at, "IDAT\x78\1", 6);
    at += 6;
    for (int y = 0; y < ROWS; y++) {
        const uint8_t start[5] = {y == ROWS - 1, ROW & 255, ROW >> 8, ~ROW & 255, ~ROW >> 8 & 255};
        memcpy(at, start, 5);
        memcpy(at + 5, picture[y], ROW);
        at += 5 + ROW;
        for (int i = 0; i < ROW; i++) {
            a = (a + picture[y][i]) % 65521;
            b = (b + a) % 65521;
        }
    }
    at = big_endian(at, b << 16 | a);
    fwrite("\x89PNG\r\n\x1a\n", 8, 1, f);
    chunk(f, header, sizeof header);
    chunk(f, data, (uint32_t)(at - data));
    chunk(f, (const uint8_t *)"IEND", 4);
    return fclose(f) == 0;
}

int main(int argc, char **argv) {
    int right = 0, wrong = 0, missed = 0, false_alarms = 0, total = 0;
    for (int file = 1; file < argc; file++) {
        const int is_only = argc == 2;
        struct digit there[16];
        const int count = read_scene(argv[file], there, 16);
        if (count < 0) {
            fprintf(stderr, "%s: no PPM file of %d x %d\n", argv[file], WIDTH, HEIGHT);
            return 1;
        }

        const detect_inputs in = {&frame[0][0][0]};
        detect_result found;
        if (detect_run(&in, &found, arena) != CRANELITE_OK) {
            fprintf(stderr, "detect_run failed\n");
            return 1;
        }

        for (int y = 0; is_only && y < HEIGHT * ZOOM; y++) {
            for (int x = 0; x < WIDTH * ZOOM; x++) {
                memcpy(&picture[y][1 + x * 3], frame[y / ZOOM][x / ZOOM], 3);
            }
        }
        for (int i = 0; is_only && i < found.count; i++) {
            const float *box = found.box[i];
            printf("%s at %3.0f, %3.0f to %3.0f, %3.0f  %.2f\n", detect_label(found.label[i]), (double)box[0], (double)box[1], (double)box[2],
                   (double)box[3], (double)found.score[i]);
            draw(box, found.label[i]);
        }
        /* Each digit with the box, best first, that overlaps it by half. */
        int used[16] = {0};
        for (int i = 0; i < found.count; i++) {
            int best = -1;
            for (int k = 0; k < count; k++) {
                if (!used[k] && overlap(found.box[i], there[k].box) >= 0.5f) {
                    best = k;
                }
            }
            if (best < 0) {
                false_alarms++;
            } else {
                used[best] = 1;
                right += found.label[i] == there[best].label;
                wrong += found.label[i] != there[best].label;
            }
        }
        total += count;
    }
    missed = total - right - wrong;
    printf("%d digits: %d found and read rightly, %d wrongly, %d missed; %d false alarms\n", total, right, wrong, missed, false_alarms);
    return argc == 2 && !write_png("found.png");
}
