/* From a camera's frame to a network's input: resize, crop and normalise, with the same result as Pillow's to the last bit. */
#ifndef EDGEKIT_FRAME_H
#define EDGEKIT_FRAME_H

#include <stddef.h>
#include <stdio.h>

struct frame;

/* Read 8-bit RGB pixels, row after row, and prepare what does not depend on them. `plan` is what the Python class
 * edgekit.build.frame.Placement writes. What is wrong ends the process. */
struct frame *open_frame(const char *path, const char *plan);

/* Compute the input; it stays valid until the next call. */
const float *preprocess(struct frame *frame);

/* How many values the input has. */
size_t frame_values(const struct frame *frame);

#endif
