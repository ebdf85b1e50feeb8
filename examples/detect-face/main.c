/* Finds faces in a picture: a binary PPM in, where the faces are out, and a copy of the picture in which they are drawn. All that a product needs is
   find_faces(): the bytes of a frame go in, boxes and points in pixels of that frame come out, by one call. No heap, no library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "face.h"

#define WIDTH 512 /* as in face.toml */
#define HEIGHT 512

static _Alignas(FACE_ARENA_ALIGN) unsigned char arena[FACE_ARENA_BYTES];

/* How many faces there are; -1 should the call fail. */
static int find_faces(const uint8_t *frame, face_result *found) {
    const face_inputs in = {frame};
    return face_run(&in, found, arena) == CRANELITE_OK ? (int)found->count : -1;
}

static void dot(uint8_t *frame, int x, int y, const uint8_t colour[3]) {
    if (x >= 0 && x < WIDTH && y >= 0 && y < HEIGHT) {
        memcpy(frame + 3 * (y * WIDTH + x), colour, 3);
    }
}

/* The border of a box, or with the same corners twice a point, three pixels wide. */
static void draw(uint8_t *frame, int left, int top, int right, int bottom, const uint8_t colour[3]) {
    for (int y = top - 1; y <= bottom + 1; y++) {
        for (int x = left - 1; x <= right + 1; x++) {
            if (x <= left + 1 || x >= right - 1 || y <= top + 1 || y >= bottom - 1) {
                dot(frame, x, y, colour);
            }
        }
    }
}

static double milliseconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* What the fastest call takes, of those of so many milliseconds. */
static double fastest(const uint8_t *frame, double during) {
    face_result found;
    double best = 1e9;
    for (double end = milliseconds() + during, start, now = 0; now < end;) {
        start = milliseconds();
        find_faces(frame, &found);
        now = milliseconds();
        best = now - start < best ? now - start : best;
    }
    return best;
}

int main(int argc, char **argv) {
    static const char *const names[6] = {"right eye", "left eye", "nose", "mouth", "right ear", "left ear"};
    static const uint8_t green[3] = {0, 255, 0}, red[3] = {255, 0, 0};
    static uint8_t frame[WIDTH * HEIGHT * 3];
    char head[16] = "";
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    /* "P6", the size and the largest number, each on a line of its own. */
    if (!f || fread(head, 1, 15, f) != 15 || strcmp(head, "P6\n512 512\n255\n") != 0 || fread(frame, sizeof frame, 1, f) != 1) {
        fprintf(stderr, "usage: %s picture.ppm [drawn.ppm | --time MS], a picture of 512 x 512 pixels\n", argv[0]);
        return 1;
    }
    fclose(f);
    if (argc > 3) { /* --time: nothing but a number */
        printf("%.4f\n", fastest(frame, atof(argv[3])));
        return 0;
    }
    face_result found;
    const int count = find_faces(frame, &found);
    for (int i = 0; i < count; i++) {
        const float *box = found.box[i];
        printf("face %d: %.2f, from (%.0f, %.0f) to (%.0f, %.0f)\n", i, (double)found.score[i], (double)box[0], (double)box[1],
               (double)box[2], (double)box[3]);
        draw(frame, (int)box[0], (int)box[1], (int)box[2], (int)box[3], green);
        for (int k = 0; k < 6; k++) {
            const float x = found.points[i][k][0], y = found.points[i][k][1];
            printf("    %-9s (%.0f, %.0f)\n", names[k], (double)x, (double)y);
            draw(frame, (int)x, (int)y, (int)x, (int)y, red);
        }
    }
    if (argc > 2 && (f = fopen(argv[2], "wb")) != NULL) {
        fwrite(head, 1, 15, f);
        fwrite(frame, sizeof frame, 1, f);
        fclose(f);
    }
    return count < 0;
}
