/* Tells which traffic sign a camera sees. Each file that is named is a video without any format: frames in NV12, one after the other. Of several files
   it tells how many frames are what their file is called, as in frames/stop.nv12. All that a product needs is in read_sign(). No heap. */
#include <stdio.h>
#include <string.h>

#include "sign.h"

static _Alignas(SIGN_ARENA_ALIGN) unsigned char arena[SIGN_ARENA_BYTES];

/* The number of the sign in the frame, 0 for none; -1 should the call fail. */
static int32_t read_sign(const uint8_t frame[SIGN_IN_CAMERA_BYTES], float *score) {
    const sign_inputs in = {frame};
    sign_result result;
    if (sign_run(&in, &result, arena) != CRANELITE_OK) {
        return -1;
    }
    *score = result.score;
    return result.label;
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
        static uint8_t frame[SIGN_IN_CAMERA_BYTES];
        FILE *f = fopen(argv[file], "rb");
        if (!f) {
            perror(argv[file]);
            return 1;
        }
        while (fread(frame, 1, sizeof frame, f) == sizeof frame) {
            float score = 0;
            const int32_t label = read_sign(frame, &score);
            if (label < 0) {
                fprintf(stderr, "sign_run failed\n");
                return 1;
            }
            if (argc == 2) {
                printf("%-8s %.2f\n", sign_label(label), (double)score);
            }
            right += is_called(argv[file], sign_label(label));
            total++;
        }
        fclose(f);
    }
    if (argc > 2) {
        printf("%d of %d right\n", right, total);
    }
    return 0;
}
