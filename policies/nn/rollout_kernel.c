/* Predictions of an ensemble of networks, step by step, with inner products in bfloat16.

Compiled on first use by policies/nn/compiled.py, for processors with AVX512_BF16 only: products of
bfloat16 numbers are summed in float32, twice as many at a time as of float32. The first layer, which
reads observations and actions, is in float32; what it and the other hidden layers give is rounded
to bfloat16, by 0.4 % at most.

Rows are predicted in blocks, which stay in the cache for all steps. */

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef __AVX512BF16__
#error "this processor has no products of bfloat16"
#endif

#define LANES 16
#define VECTORS 4
#define ROWS 6
#define BLOCK 48 /* rows that are predicted together, a multiple of ROWS */

typedef uint16_t Half; /* a bfloat16 number: the upper half of a float32 */

typedef struct {
    long inputs, outputs, stride; /* stride: outputs up to a whole number of vectors */
    int is_first;
    const void *weight; /* float (inputs, stride), or pairs of rows: Half (inputs / 2, stride, 2) */
    float *bias;        /* (stride) */
} Layer;

static long padded(long columns) { return (columns + LANES - 1) / LANES * LANES; }

static Half rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (Half)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Sums of a tile of ROWS x (vectors * LANES); `vectors` is a constant where it is inlined. */
static inline __attribute__((always_inline)) void tile(
    const Layer *layer, const void *rows, long row_stride, long column, int vectors,
    __m512 sum[ROWS][VECTORS]) {
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = _mm512_loadu_ps(layer->bias + column + v * LANES);
    if (layer->is_first) {
        const float *weight = (const float *)layer->weight + column;
        const float *x = rows;
        for (long k = 0; k < layer->inputs; k++)
            for (int v = 0; v < vectors; v++) {
                const __m512 w = _mm512_loadu_ps(weight + k * layer->stride + v * LANES);
                for (int r = 0; r < ROWS; r++)
                    sum[r][v] = _mm512_fmadd_ps(_mm512_set1_ps(x[r * row_stride + k]), w, sum[r][v]);
            }
        return;
    }
    const Half *weight = (const Half *)layer->weight + 2 * column;
    const Half *x = rows;
    for (long k = 0; k < layer->inputs; k += 2) {
        __m512bh w[VECTORS];
        for (int v = 0; v < vectors; v++)
            w[v] = (__m512bh)_mm512_loadu_si512(weight + k * layer->stride + 2 * v * LANES);
        for (int r = 0; r < ROWS; r++) {
            int32_t pair;
            memcpy(&pair, x + r * row_stride + k, sizeof pair);
            const __m512bh factor = (__m512bh)_mm512_set1_epi32(pair);
            for (int v = 0; v < vectors; v++)
                sum[r][v] = _mm512_dpbf16_ps(sum[r][v], factor, w[v]);
        }
    }
}

static inline __attribute__((always_inline)) void store(
    __m512 sum[ROWS][VECTORS], int vectors, int is_last, void *out, long stride) {
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < vectors; v++) {
            if (is_last) {
                _mm512_storeu_ps((float *)out + r * stride + v * LANES, sum[r][v]);
                continue;
            }
            /* max(0, x), where a NaN stays NaN: the second operand is given where one is NaN */
            const __m512 positive = _mm512_max_ps(_mm512_setzero_ps(), sum[r][v]);
            const __m256i half = (__m256i)_mm512_cvtneps_pbh(positive);
            _mm256_storeu_si256((__m256i *)((Half *)out + r * stride + v * LANES), half);
        }
}

/* Outputs of a layer: float where it is the last one, else after ReLU and in bfloat16. */
static void apply(
    const Layer *layer, const void *rows, long row_stride, int is_last, void *out, long count) {
    const long in_size = layer->is_first ? sizeof(float) : sizeof(Half);
    const long out_size = is_last ? sizeof(float) : sizeof(Half);
    for (long column = 0; column < layer->stride; column += VECTORS * LANES) {
        const long left = (layer->stride - column) / LANES;
        for (long row = 0; row < count; row += ROWS) {
            const char *in = (const char *)rows + row * row_stride * in_size;
            char *target = (char *)out + (row * layer->stride + column) * out_size;
            __m512 sum[ROWS][VECTORS];
            switch (left < VECTORS ? left : VECTORS) {
#define CASE(N) \
    case N: \
        tile(layer, in, row_stride, column, N, sum); \
        store(sum, N, is_last, target, layer->stride); \
        break;
                CASE(1) CASE(2) CASE(3) CASE(4)
            }
        }
    }
}

/* Copy a layer's parameters into the form that `tile` reads. */
static Layer prepare(const float *weight, long inputs, long outputs, int is_first) {
    Layer layer = {.inputs = (inputs + 1) / 2 * 2, .outputs = outputs, .is_first = is_first};
    layer.stride = padded(outputs);
    layer.bias = calloc(layer.stride, sizeof(float));
    void *packed = calloc(layer.inputs * layer.stride, sizeof(float));
    if (layer.bias && packed) {
        memcpy(layer.bias, weight + inputs * outputs, outputs * sizeof(float));
        for (long k = 0; k < inputs; k++)
            for (long c = 0; c < outputs; c++) {
                const float number = weight[k * outputs + c];
                if (is_first) ((float *)packed)[k * layer.stride + c] = number;
                else ((Half *)packed)[(k / 2 * layer.stride + c) * 2 + k % 2] = rounded(number);
            }
    }
    if (is_first) layer.inputs = inputs;
    layer.weight = packed;
    return layer;
}

/* Predict the rows of one member.

states (steps + 1, rows, obs): the first one is given. A layer's inputs are observation, action and
latent; its outputs the change of the observation. All arrays are those of one member; `state_step`
is the distance from one step to the next. */
static void predict(
    const Layer *layers, long count, long rows, long steps, long obs, long action, long latent,
    float *states, long state_step, const float *actions, const float *z, float *x,
    void *hidden[2]) {
    const long inputs = obs + action + latent;
    for (long first = 0; first < rows; first += BLOCK) {
        const long block = rows - first < BLOCK ? rows - first : BLOCK;
        memset(x, 0, sizeof(float) * BLOCK * inputs);
        for (long r = 0; r < block; r++) {
            memcpy(x + r * inputs, states + (first + r) * obs, sizeof(float) * obs);
            memcpy(x + r * inputs + obs + action, z + (first + r) * latent, sizeof(float) * latent);
        }
        for (long t = 0; t < steps; t++) {
            for (long r = 0; r < block; r++)
                memcpy(
                    x + r * inputs + obs, actions + (t * rows + first + r) * action,
                    sizeof(float) * action);
            const void *in = x;
            long stride = inputs;
            for (long l = 0; l < count; l++) {
                apply(layers + l, in, stride, l == count - 1, hidden[l % 2], block);
                in = hidden[l % 2];
                stride = layers[l].stride;
            }
            const float *outcome = in;
            for (long r = 0; r < block; r++) {
                float *state = states + (t + 1) * state_step + (first + r) * obs;
                for (long c = 0; c < obs; c++)
                    state[c] = x[r * inputs + c] += outcome[r * stride + c];
            }
        }
    }
}

/* The predictions of all members.

parameters (members, ...): weight (i, k) and bias (k) of each layer; states (steps + 1, members,
rows, obs), the first one given; actions (steps, rows, action); z (members, rows, latent). Returns
0, or 1 without memory. */
int ensemble_rollout(
    long members, long rows, long steps, long count, const long *sizes, const float *parameters,
    long obs, long action, long latent, float *states, const float *actions, const float *z) {
    long width = 0, length = 0;
    for (long l = 0; l <= count; l++) width = sizes[l] > width ? sizes[l] : width;
    for (long l = 0; l < count; l++) length += (sizes[l] + 1) * sizes[l + 1];
    const long space = BLOCK * padded(width);
    float *x = malloc(sizeof(float) * 3 * space);
    Layer *layers = calloc(count, sizeof(Layer));
    int failed = !x || !layers;
    for (long m = 0; m < members && !failed; m++) {
        const float *weight = parameters + m * length;
        for (long l = 0; l < count; l++) {
            layers[l] = prepare(weight, sizes[l], sizes[l + 1], l == 0);
            failed |= !layers[l].bias || !layers[l].weight;
            weight += (sizes[l] + 1) * sizes[l + 1];
        }
        void *hidden[2] = {x + space, x + 2 * space};
        if (!failed)
            predict(
                layers, count, rows, steps, obs, action, latent, states + m * rows * obs,
                members * rows * obs, actions, z + m * rows * latent, x, hidden);
        for (long l = 0; l < count; l++) {
            free(layers[l].bias);
            free((void *)layers[l].weight);
        }
    }
    free(layers);
    free(x);
    return failed;
}
