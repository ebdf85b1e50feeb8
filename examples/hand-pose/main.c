/* Tells which sign a hand makes before a camera, and where its joints are. Each file that is named is a video without any format: frames in YUYV, one
   after the other. Of one file it draws what it sees into hand0.ppm and so on; of several it tells how many frames are what their file is called, as
   in frames/fist.yuyv. All that a product needs is in read_hand(). No heap. */
#include <stdio.h>
#include <string.h>

#include "hand.h"

enum { WIDTH = 160, HEIGHT = 120, LARGER = 3 };

static _Alignas(HAND_ARENA_ALIGN) unsigned char arena[HAND_ARENA_BYTES];

/* Whether the call could be made: then hand_points has 21 places in the frame, and sign_label the sign. */
static int read_hand(const uint8_t frame[HAND_IN_CAMERA_BYTES], hand_result *result) {
    const hand_inputs in = {frame};
    return hand_run(&in, result, arena) == CRANELITE_OK;
}

static uint8_t picture[HEIGHT * LARGER][WIDTH * LARGER][3];

/* A square of one colour around a place of the frame. */
static void dot(const float at[2], int radius, const uint8_t colour[3]) {
    const int middle_x = (int)(at[0] * LARGER), middle_y = (int)(at[1] * LARGER);
    for (int y = middle_y - radius; y <= middle_y + radius; y++) {
        for (int x = middle_x - radius; x <= middle_x + radius; x++) {
            if (0 <= y && y < HEIGHT * LARGER && 0 <= x && x < WIDTH * LARGER) {
                memcpy(picture[y][x], colour, 3);
            }
        }
    }
}

/* The frame in grey, with bones in green and joints in red. */
static int draw(const char *path, const uint8_t *frame, float points[21][2]) {
    static const uint8_t green[3] = {40, 220, 60}, red[3] = {230, 40, 40};
    for (int y = 0; y < HEIGHT * LARGER; y++) {
        for (int x = 0; x < WIDTH * LARGER; x++) {
            memset(picture[y][x], frame[2 * (y / LARGER * WIDTH + x / LARGER)], 3);
        }
    }
    for (int joint = 1; joint < 21; joint++) {
        /* The first joint of each finger hangs on the wrist. */
        const float *from = points[joint % 4 == 1 ? 0 : joint - 1], *to = points[joint];
        for (int step = 0; step <= 100; step++) {
            const float at[2] = {from[0] + (to[0] - from[0]) * (float)step / 100, from[1] + (to[1] - from[1]) * (float)step / 100};
            dot(at, 0, green);
        }
    }
    for (int joint = 0; joint < 21; joint++) {
        dot(points[joint], 2, red);
    }
    FILE *f = fopen(path, "wb");
    if (!f) {
        return 0;
    }
    fprintf(f, "P6 %d %d 255\n", WIDTH * LARGER, HEIGHT * LARGER);
    fwrite(picture, 1, sizeof picture, f);
    return fclose(f) == 0;
}

/* Whether the file is called as the label. */
static int is_called(const char *path, const char *label) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t length = strlen(label);
    return strncmp(name, label, length) == 0 && name[length] == '.';
}

int main(int argc, char **argv) {
    int right = 0, total = 0;
    for (int file = 1; file < argc; file++) {
        static uint8_t frame[HAND_IN_CAMERA_BYTES];
        FILE *f = fopen(argv[file], "rb");
        if (!f) {
            perror(argv[file]);
            return 1;
        }
        while (fread(frame, 1, sizeof frame, f) == sizeof frame) {
            hand_result seen;
            if (!read_hand(frame, &seen)) {
                fprintf(stderr, "hand_run failed\n");
                return 1;
            }
            if (argc == 2) {
                char path[32];
                snprintf(path, sizeof path, "hand%d.ppm", total);
                /* Of the first finger. */
                const float *tip = seen.hand_points[8];
                printf("%-7s %.2f, first finger's tip at %.0f, %.0f\n", hand_label(seen.sign_label), (double)seen.sign_score, (double)tip[0], (double)tip[1]);
                if (!draw(path, frame, seen.hand_points)) {
                    perror(path);
                    return 1;
                }
            }
            right += is_called(argv[file], hand_label(seen.sign_label));
            total++;
        }
        fclose(f);
    }
    if (argc > 2) {
        printf("%d of %d right\n", right, total);
    }
    return 0;
}
