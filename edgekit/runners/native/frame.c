#define _GNU_SOURCE
#include "frame.h"
#include "runner.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3, LEVELS = 256, SIZES = 10, NUMBERS = SIZES + 2 * CHANNELS };

static const int64_t UNIT = 4194304, HALF = 2097152; /* of Pillow's fixed point: 22 bits, and what rounds it */

/* How the pixels of one side come from those of the frame: each is a weighted sum of `most` or fewer neighbours. */
struct side {
    int count, most;
    int *first, *neighbours;
    int32_t *weights; /* fixed point, `most` of each pixel */
};

struct frame {
    int width, height;         /* of the frame */
    int resized_width, resized_height, left, top, out_width, out_height;
    int bicubic, channels_first;
    struct side across, down;
    int first_row, rows;       /* of the frame, that the cropped rows need */
    uint8_t *pixels, *between; /* the frame; its rows, resized across */
    float levels[CHANNELS][LEVELS];
    float *values;
};

static void *room_for(size_t count, size_t each) {
    void *memory = calloc(count ? count : 1, each);
    if (!memory) {
        fail("out of memory");
    }
    return memory;
}

/* Pillow's filters: a triangle, and the cubic convolution of Keys (1981) with a = -0.5. */
static double filter(double x, bool bicubic) {
    x = fabs(x);
    if (!bicubic) {
        return x < 1 ? 1 - x : 0;
    }
    if (x < 1) {
        return (1.5 * x - 2.5) * x * x + 1;
    }
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/* The pixels from `start` on of a side of `from` pixels that is resized to `to`. A smaller result averages over more pixels. */
static struct side resized(int from, int to, int start, int count, bool bicubic) {
    const double scale = (double)from / to, stretch = scale > 1 ? scale : 1, reach = (bicubic ? 2 : 1) * stretch;
    struct side side = {.count = count, .most = (int)ceil(reach) * 2 + 1};
    side.first = room_for((size_t)count, sizeof *side.first);
    side.neighbours = room_for((size_t)count, sizeof *side.neighbours);
    side.weights = room_for((size_t)count * (size_t)side.most, sizeof *side.weights);
    for (int i = 0; i < count; i++) {
        const double centre = (start + i + 0.5) * scale;
        const int low = (int)(centre - reach + 0.5), high = (int)(centre + reach + 0.5);
        const int first = low > 0 ? low : 0, last = high < from ? high : from;
        const int neighbours = last - first < side.most ? last - first : side.most;
        int32_t *own = side.weights + (size_t)i * (size_t)side.most;
        double sum = 0;
        for (int j = 0; j < neighbours; j++) {
            sum += filter((first + j - centre + 0.5) / stretch, bicubic);
        }
        for (int j = 0; j < neighbours; j++) {
            const double weight = filter((first + j - centre + 0.5) / stretch, bicubic) / sum * (double)UNIT;
            own[j] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
        side.first[i] = first;
        side.neighbours[i] = neighbours;
    }
    return side;
}

static uint8_t level(int64_t sum) {
    const int64_t value = sum < 0 ? 0 : sum / UNIT;
    return (uint8_t)(value < LEVELS ? value : LEVELS - 1);
}

/* Read NUMBERS numbers with commas between them. Sizes are far below a million. */
static bool read_numbers(const char *text, double *numbers) {
    for (int i = 0; i < NUMBERS; i++) {
        char *end = NULL;
        numbers[i] = strtod(text, &end);
        if (end == text || *end != (i < NUMBERS - 1 ? ',' : '\0') || fabs(numbers[i]) > 1e6) {
            return false;
        }
        text = end + 1;
    }
    return true;
}

struct frame *open_frame(const char *path, const char *plan) {
    struct frame *frame = room_for(1, sizeof *frame);
    double numbers[NUMBERS];
    int *const sizes[SIZES] = {&frame->width,     &frame->height, &frame->resized_width, &frame->resized_height,
                               &frame->left,      &frame->top,    &frame->out_width,     &frame->out_height,
                               &frame->bicubic,   &frame->channels_first};
    const bool whole = read_numbers(plan, numbers);
    for (int i = 0; whole && i < SIZES; i++) {
        *sizes[i] = (int)numbers[i];
    }
    if (!whole || frame->width < 1 || frame->height < 1 || frame->left < 0 || frame->top < 0 || frame->out_width < 1 ||
        frame->out_height < 1 || frame->left + frame->out_width > frame->resized_width ||
        frame->top + frame->out_height > frame->resized_height) {
        fail("--frame-plan %s is not understood", plan);
    }
    frame->across = resized(frame->width, frame->resized_width, frame->left, frame->out_width, frame->bicubic);
    frame->down = resized(frame->height, frame->resized_height, frame->top, frame->out_height, frame->bicubic);
    const int last = frame->out_height - 1;
    frame->first_row = frame->down.first[0];
    frame->rows = frame->down.first[last] + frame->down.neighbours[last] - frame->first_row;
    const size_t pixels = (size_t)frame->width * (size_t)frame->height * CHANNELS;
    frame->pixels = room_for(pixels, 1);
    frame->between = room_for((size_t)frame->rows * (size_t)frame->out_width * CHANNELS, 1);
    frame->values = room_for(frame_values(frame), sizeof *frame->values);
    FILE *file = fopen(path, "rb");
    if (!file || fread(frame->pixels, 1, pixels, file) != pixels) {
        fail("%s does not hold a frame of %d x %d", path, frame->width, frame->height);
    }
    fclose(file);
    for (int channel = 0; channel < CHANNELS; channel++) {
        for (int value = 0; value < LEVELS; value++) {
            const float mean = (float)numbers[SIZES + channel], std = (float)numbers[SIZES + CHANNELS + channel];
            frame->levels[channel][value] = ((float)value / 255.0F - mean) / std;
        }
    }
    return frame;
}

size_t frame_values(const struct frame *frame) {
    return (size_t)frame->out_width * (size_t)frame->out_height * CHANNELS;
}

static void resize_across(struct frame *frame) {
    const struct side *side = &frame->across;
    for (int row = 0; row < frame->rows; row++) {
        const uint8_t *from = frame->pixels + (size_t)(frame->first_row + row) * (size_t)frame->width * CHANNELS;
        uint8_t *to = frame->between + (size_t)row * (size_t)frame->out_width * CHANNELS;
        for (int x = 0; x < side->count; x++) {
            const int32_t *weights = side->weights + (size_t)x * (size_t)side->most;
            const uint8_t *pixel = from + (size_t)side->first[x] * CHANNELS;
            int64_t sums[CHANNELS] = {HALF, HALF, HALF};
            for (int i = 0; i < side->neighbours[x]; i++, pixel += CHANNELS) {
                for (int channel = 0; channel < CHANNELS; channel++) {
                    sums[channel] += (int64_t)pixel[channel] * weights[i];
                }
            }
            for (int channel = 0; channel < CHANNELS; channel++) {
                *to++ = level(sums[channel]);
            }
        }
    }
}

static void resize_down(struct frame *frame) {
    const struct side *side = &frame->down;
    const size_t row = (size_t)frame->out_width * CHANNELS, plane = (size_t)frame->out_width * (size_t)frame->out_height;
    for (int y = 0; y < side->count; y++) {
        const int32_t *weights = side->weights + (size_t)y * (size_t)side->most;
        const uint8_t *from = frame->between + (size_t)(side->first[y] - frame->first_row) * row;
        for (size_t x = 0; x < row; x++) {
            int64_t sum = HALF;
            for (int i = 0; i < side->neighbours[y]; i++) {
                sum += (int64_t)from[(size_t)i * row + x] * weights[i];
            }
            const size_t channel = x % CHANNELS, pixel = (size_t)y * (size_t)frame->out_width + x / CHANNELS;
            const size_t place = frame->channels_first ? channel * plane + pixel : pixel * CHANNELS + channel;
            frame->values[place] = frame->levels[channel][level(sum)];
        }
    }
}

const float *preprocess(struct frame *frame) {
    resize_across(frame);
    resize_down(frame);
    return frame->values;
}
