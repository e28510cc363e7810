/* Forward and backward pass of a network of linear layers with ReLU between them, on one core; before
each ReLU a layer may be normalized over its units (LayerNorm, Ba et al. 2016).

Compiled on first use by policies/nn/compiled.py. Matrices are row-major float32. The parameters of a
network are one vector: weight (i, k) and bias (k) of each layer, one after the other.

A product is computed in tiles of ROWS x (VECTORS * LANES) sums that stay in registers. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define VECTORS 4
#elif defined(__AVX2__)
#define LANES 8
#define VECTORS 2
#else
#define LANES 4
#define VECTORS 2
#endif
#define ROWS 6
#define EPSILON 1e-5f /* of the variance; as in flat_mlp.py */
#define PANEL (LANES * VECTORS) /* columns of a tile */

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int Mask __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* What happens to a sum before it is stored. */
enum Finish { STORE, ADD, BIAS, BIAS_RELU, MASK };

typedef struct {
    const float *a; /* element (r, k) is a[r * a_row + k * a_column] */
    long a_row, a_column;
    const float *b; /* columns of B side by side, zero beyond the last one: see pack */
    float *c;       /* (rows, columns) */
    const float *other; /* the bias (columns), or the inputs that ReLU let pass (rows, columns) */
    enum Finish finish;
    long rows, columns, depth;
} Product;

static inline float finished(const Product *p, long row, long column, float sum) {
    const long index = row * p->columns + column;
    switch (p->finish) {
    case ADD: return p->c[index] + sum;
    case BIAS: return p->other[column] + sum;
    case BIAS_RELU: {
        const float value = p->other[column] + sum;
        return value <= 0 ? 0 : value; /* NaN stays NaN */
    }
    case MASK: return p->other[index] <= 0 ? 0 : sum;
    default: return sum;
    }
}

/* The numbers, with 0 where the mask is set. */
static inline Vector without(Vector numbers, Mask mask) { return (Vector)((Mask)numbers & ~mask); }

static inline __attribute__((always_inline)) void finish_vector(
    const Product *p, long row, long column, Vector sum) {
    const long index = row * p->columns + column;
    const Vector zero = {0};
    if (p->finish == ADD) sum += *(const Vector *)(p->c + index);
    if (p->finish == BIAS || p->finish == BIAS_RELU) sum += *(const Vector *)(p->other + column);
    if (p->finish == BIAS_RELU) sum = without(sum, sum <= zero);
    if (p->finish == MASK) sum = without(sum, *(const Vector *)(p->other + index) <= zero);
    *(Vector *)(p->c + index) = sum;
}

/* A tile of `rows` rows and `vectors` vectors of columns; both are constants where it is inlined. */
static inline __attribute__((always_inline)) void tile(
    const Product *p, long row, long column, const float *panel, long stride, int rows, int vectors) {
    Vector sum[ROWS][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sum[r][v] = (Vector){0};
    const float *a = p->a + row * p->a_row;
    for (long k = 0; k < p->depth; k++) {
        Vector b[VECTORS];
        for (int v = 0; v < vectors; v++) b[v] = *(const Vector *)(panel + k * stride + v * LANES);
        for (int r = 0; r < rows; r++) {
            const float factor = a[r * p->a_row + k * p->a_column];
            for (int v = 0; v < vectors; v++) sum[r][v] += factor * b[v];
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            const long first = column + v * LANES;
            if (first + LANES <= p->columns) {
                finish_vector(p, row + r, first, sum[r][v]);
                continue;
            }
            for (long c = first; c < p->columns; c++)
                p->c[(row + r) * p->columns + c] = finished(p, row + r, c, sum[r][v][c - first]);
        }
}

#define TILE(R, V) \
    case (R) * 8 + (V): tile(p, row, column, panel, stride, R, V); break;
#define TILES(R) TILE(R, 1) TILE(R, 2) TILE(R, 3) TILE(R, 4)

static void any_tile(
    const Product *p, long row, long column, const float *panel, long stride, int rows, int vectors) {
    switch (rows * 8 + vectors) {
#if VECTORS == 4
        TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
#else
        TILE(1, 1) TILE(1, 2) TILE(2, 1) TILE(2, 2) TILE(3, 1) TILE(3, 2)
        TILE(4, 1) TILE(4, 2) TILE(5, 1) TILE(5, 2) TILE(6, 1) TILE(6, 2)
#endif
    }
}

static long padded(long columns) { return (columns + LANES - 1) / LANES * LANES; }

static void multiply(const Product *p) {
    const long stride = padded(p->columns);
    for (long column = 0; column < p->columns; column += PANEL) {
        const long left = stride - column;
        const int vectors = (int)((left < PANEL ? left : PANEL) / LANES);
        for (long row = 0; row < p->rows; row += ROWS) {
            const long rest = p->rows - row;
            const int rows = (int)(rest < ROWS ? rest : ROWS);
            any_tile(p, row, column, p->b + column, stride, rows, vectors);
        }
    }
}

/* Rows of B with zeros up to a whole number of vectors; B itself where it has that form. */
static const float *pack(const float *b, long rows, long columns, float *space) {
    const long stride = padded(columns);
    if (stride == columns) return b;
    memset(space, 0, sizeof(float) * rows * stride);
    for (long r = 0; r < rows; r++) memcpy(space + r * stride, b + r * columns, sizeof(float) * columns);
    return space;
}

/* The same of the transpose of B. */
static const float *pack_transposed(const float *b, long rows, long columns, float *space) {
    const long stride = padded(rows);
    if (stride != rows) memset(space, 0, sizeof(float) * columns * stride);
    for (long r = 0; r < rows; r++)
        for (long c = 0; c < columns; c++) space[c * stride + r] = b[r * columns + c];
    return space;
}

static void sum_rows(const float *restrict x, long rows, long columns, float *restrict sums) {
    memset(sums, 0, sizeof(float) * columns);
    for (long r = 0; r < rows; r++)
        for (long c = 0; c < columns; c++) sums[c] += x[r * columns + c];
}

static long widest(const long *sizes, long layers) {
    long width = 0;
    for (long i = 0; i <= layers; i++) width = sizes[i] > width ? sizes[i] : width;
    return padded(width);
}

static long parameters_of(long layers, const long *sizes) {
    long count = 0;
    for (long l = 0; l < layers; l++) count += (sizes[l] + 1) * sizes[l + 1];
    return count;
}

/* Normalize rows x (rows, columns) in place to mean 0 and variance 1, with the factors (rows) in
   scales; y is what ReLU makes of them. */
static void normalize(
    float *restrict x, float *restrict y, float *restrict scales, long rows, long columns) {
    for (long r = 0; r < rows; r++, x += columns, y += columns) {
        float mean = 0, variance = 0;
#pragma omp simd reduction(+ : mean)
        for (long c = 0; c < columns; c++) mean += x[c];
        mean /= columns;
#pragma omp simd reduction(+ : variance)
        for (long c = 0; c < columns; c++) variance += (x[c] - mean) * (x[c] - mean);
        const float scale = 1 / sqrtf(variance / columns + EPSILON);
        for (long c = 0; c < columns; c++) {
            x[c] = (x[c] - mean) * scale;
            y[c] = x[c] <= 0 ? 0 : x[c]; /* NaN stays NaN */
        }
        scales[r] = scale;
    }
}

/* The gradient (rows, columns) of normalized rows becomes that of the rows before. With n the
   normalized row and s its scale, g becomes s (g - mean(g) - n mean(g n)). */
static void undo_normalize(
    float *restrict gradient, const float *restrict normalized, const float *restrict scales,
    long rows, long columns) {
    for (long r = 0; r < rows; r++, gradient += columns, normalized += columns) {
        float mean = 0, along = 0;
#pragma omp simd reduction(+ : mean, along)
        for (long c = 0; c < columns; c++) {
            mean += gradient[c];
            along += gradient[c] * normalized[c];
        }
        mean /= columns;
        along /= columns;
        for (long c = 0; c < columns; c++)
            gradient[c] = scales[r] * (gradient[c] - mean - normalized[c] * along);
    }
}

/* Numbers in the hidden layers of one row. */
static long hidden_width(long layers, const long *sizes) {
    long width = 0;
    for (long l = 1; l < layers; l++) width += sizes[l];
    return width;
}

static void forward(
    long rows, long layers, const long *sizes, const float *parameters, const float *x,
    float *hidden, float *normalized, float *scales, float *outputs, float *space) {
    for (long l = 0; l < layers; l++) {
        const long i = sizes[l], k = sizes[l + 1];
        const int is_last = l == layers - 1;
        const int is_normalized = normalized && !is_last;
        const float *bias = parameters + i * k;
        const Product product = {
            .a = x, .a_row = i, .a_column = 1,
            .b = pack(parameters, i, k, space),
            .c = is_last ? outputs : is_normalized ? normalized : hidden,
            .other = bias, .finish = is_last || is_normalized ? BIAS : BIAS_RELU,
            .rows = rows, .columns = k, .depth = i};
        multiply(&product);
        if (is_normalized) {
            normalize(normalized, hidden, scales, rows, k);
            normalized += rows * k;
            scales += rows;
        }
        x = hidden;
        hidden += rows * k;
        parameters = bias + k;
    }
}

/* With G the gradient of a layer's outputs and X its inputs, its weights get X'G, its bias the sum
   of G over rows, and its inputs GW' where ReLU let them pass. */
static void backward(
    long rows, long layers, const long *sizes, const float *parameters, const float *x,
    const float *hidden, const float *normalized, const float *scales, const float *gradient,
    float *parameters_gradient, float *x_gradient, float *space, long width) {
    float *packed = space + width * width;
    float *turns[2] = {packed + rows * width, packed + 2 * rows * width};
    long start = parameters_of(layers, sizes);
    long before = rows * hidden_width(layers, sizes); /* numbers in the hidden layers before */
    for (long l = layers - 1; l >= 0; l--) {
        const long i = sizes[l], k = sizes[l + 1];
        start -= (i + 1) * k;
        before -= l > 0 ? rows * i : 0;
        const float *inputs = l > 0 ? hidden + before : x;
        if (parameters_gradient) {
            const Product product = {
                .a = inputs, .a_row = 1, .a_column = i,
                .b = pack(gradient, rows, k, packed),
                .c = parameters_gradient + start, .finish = STORE,
                .rows = i, .columns = k, .depth = rows};
            multiply(&product);
            sum_rows(gradient, rows, k, parameters_gradient + start + i * k);
        }
        if (l > 0 || x_gradient) {
            const Product product = {
                .a = gradient, .a_row = k, .a_column = 1,
                .b = pack_transposed(parameters + start, i, k, space),
                .c = l > 0 ? turns[l % 2] : x_gradient,
                .other = inputs, .finish = l > 0 ? MASK : ADD,
                .rows = rows, .columns = i, .depth = k};
            multiply(&product);
            if (l > 0 && normalized)
                undo_normalize(product.c, normalized + before, scales + (l - 1) * rows, rows, i);
            gradient = product.c;
        }
    }
}

/* The outputs of a stack of networks of one shape, for the same inputs.

x (rows, sizes[0]), parameters (members, ...), hidden (members, rows * hidden widths, the layers one
after the other) and outputs (members, rows, sizes[layers]); the last two are written. Where
normalized (as hidden) is not null, hidden layers are normalized, and it and scales (members, rows *
hidden layers) are written. Returns 0, or 1 without memory. */
int mlp_forward(
    long members, long rows, long layers, const long *sizes, const float *parameters,
    const float *x, float *hidden, float *normalized, float *scales, float *outputs) {
    const long width = widest(sizes, layers);
    float *space = malloc(sizeof(float) * width * width);
    if (!space) return 1;
    for (long m = 0; m < members; m++) {
        forward(rows, layers, sizes, parameters, x, hidden, normalized, scales, outputs, space);
        parameters += parameters_of(layers, sizes);
        hidden += rows * hidden_width(layers, sizes);
        if (normalized) {
            normalized += rows * hidden_width(layers, sizes);
            scales += rows * (layers - 1);
        }
        outputs += rows * sizes[layers];
    }
    free(space);
    return 0;
}

/* The gradient of a stack, from that of its outputs (members, rows, sizes[layers]).

Writes the parameters' gradient where it is not null, and adds to the inputs' gradient, which all
members share, where it is not null. */
int mlp_backward(
    long members, long rows, long layers, const long *sizes, const float *parameters,
    const float *x, const float *hidden, const float *normalized, const float *scales,
    const float *gradient, float *parameters_gradient, float *x_gradient) {
    const long width = widest(sizes, layers);
    const long count = parameters_of(layers, sizes);
    float *space = malloc(sizeof(float) * (width * width + 3 * rows * width));
    if (!space) return 1;
    for (long m = 0; m < members; m++) {
        float *target = parameters_gradient ? parameters_gradient + m * count : NULL;
        backward(
            rows, layers, sizes, parameters + m * count, x, hidden, normalized, scales, gradient,
            target, x_gradient, space, width);
        hidden += rows * hidden_width(layers, sizes);
        if (normalized) {
            normalized += rows * hidden_width(layers, sizes);
            scales += rows * (layers - 1);
        }
        gradient += rows * sizes[layers];
    }
    free(space);
    return 0;
}
