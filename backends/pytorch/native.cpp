// The masked scan of fused.py and its derivative, all steps of time in one call; the cells are in native_cells.h.
//
// No row of a batch reads another: each thread takes its rows through all the steps, and none waits for another.
// The products are made here, from weights packed once a call: what P vectors of units multiply lies side by side.
// A row's sums are made in one order, whatever the other rows and the threads: the results are the same to the bit.
//
// Letters: B rows, T steps, H width, GH the width of the input's share a, V numbers in a vector.

#include <ATen/cpu/vec/vec.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace {

template <typename T>
using Vec = at::vec::Vectorized<T>;
template <typename T>
constexpr int64_t V = Vec<T>::size();
template <typename T>
using Panels = std::vector<Vec<T>>;
template <typename T>
using Packed = std::vector<Panels<T>>;

#ifdef CPU_CAPABILITY_AVX512
constexpr int SUMS = 24;  // vectors of sums that stay in 32 registers
#else
constexpr int SUMS = 12;  // ... in 16
#endif
constexpr int64_t ENOUGH = 1 << 19;  // products of two numbers, in all steps: below, a second thread costs more than it does
constexpr int64_t FEWEST = 4;        // rows that are worth a thread

// What a call is given; native.py has the same fields. Absent things are null.
template <typename T>
struct Loop {
  int64_t steps, rows, width, reverse, threads;
  const bool* valid;  // (T, B)
  T* weights[2];      // U (H, GH), and c (GH) or P (3, H)
  T* a;               // (T, B, GH)
  T* tape;            // (T, B, blocks of H): on the way back, the gradients take the place of the gates
  T* states[2];       // (T + 1, B, H) each
  T* made[2];         // (T, B, H) each: the states before the taps are added, where there are taps
  T* taps[2];         // (T, B, H) each: what is added; on the way back, where its gradient goes
  T* y;               // (T, B, H): out, where there are pads; on the way back, dL/dy
  T* dstate[2];       // (B, H) each: dL/d last state, which becomes dL/d first state
};

struct At {  // `count` units of a row
  int64_t row, unit, count;
};

template <typename T>
struct Blocks {  // rows of blocks of `width` numbers; of 0 columns: each row reads the same
  T* data;
  int64_t columns, width;

  T* place(At at, int block) const { return data + (at.row * columns + block) * width + at.unit; }
  Vec<T> operator()(At at, int block = 0) const { return Vec<T>::loadu(place(at, block), at.count); }
  template <typename... Vs>
  void put(At at, int block, const Vs&... values) const {
    T* to = place(at, block);
    ((values.store(to, at.count), to += width), ...);
  }
};

template <typename T>
struct Step {  // one step of the rows of one thread
  int64_t first, last, width;
  const bool* valid;
  Blocks<T> other, a, tape, y, old[2], made[2], now[2], tap[2], d[2];

  bool is(int64_t row) const { return !valid || valid[row]; }
  template <typename F>
  void each(const F& f) const {
    for (int64_t row = first; row < last; ++row)
      for (int64_t unit = 0; unit < width; unit += V<T>) f(At{row, unit, std::min(V<T>, width - unit)});
  }
  template <typename F>
  void each_valid(const F& f) const {
    for (int64_t row = first; row < last; ++row)
      if (is(row))
        for (int64_t unit = 0; unit < width; unit += V<T>) f(At{row, unit, std::min(V<T>, width - unit)});
  }
};

template <typename T>
Step<T> step(const Loop<T>& p, int inputs, int columns, int64_t t, int64_t first, int64_t last) {
  const auto at = [&](T* data, int64_t time, int64_t blocks) {
    return Blocks<T>{data ? data + time * p.rows * blocks * p.width : nullptr, blocks, p.width};
  };
  Step<T> s{first, last, p.width, p.valid ? p.valid + t * p.rows : nullptr, {p.weights[1], 0, p.width},
            at(p.a, t, inputs), at(p.tape, t, columns), at(p.y, t, 1)};
  for (int part = 0; part < 2; ++part) {
    s.old[part] = at(p.states[part], t + p.reverse, 1);
    s.now[part] = at(p.states[part], t + 1 - p.reverse, 1);
    s.made[part] = p.made[part] ? at(p.made[part], t, 1) : s.now[part];
    s.tap[part] = at(p.taps[part], t, 1);
    s.d[part] = at(p.dstate[part], 0, 1);
  }
  return s;
}

// source(k, g, unit) -> panels: N vectors of units beside each other for each k, of each the G blocks.
template <typename T, typename Source>
Panels<T> pack(int64_t depth, int64_t width, int G, int N, const Source& source) {
  const int64_t panels = (width + N * V<T> - 1) / (N * V<T>);
  Panels<T> out(panels * depth * N * G);  // zeros, which stay where the width ends within a vector
  for (int64_t unit = 0; unit < width; ++unit)
    for (int g = 0; g < G; ++g) {
      const int64_t panel = unit / (N * V<T>), n = unit / V<T> % N, v = unit % V<T>;
      T* to = reinterpret_cast<T*>(out.data() + (panel * depth * N + n) * G + g) + v;
      for (int64_t k = 0; k < depth; ++k) to[k * N * G * V<T>] = source(k, g, unit);
    }
  return out;
}

// The blocks of U's columns, for h U.
template <typename T>
Panels<T> across(const Loop<T>& p, int inputs, int N, std::initializer_list<int> blocks) {
  const T* U = p.weights[0];
  const int64_t H = p.width;
  return pack<T>(H, H, int(blocks.size()), N, [=, of = blocks.begin()](int64_t k, int g, int64_t unit) {
    return U[k * inputs * H + of[g] * H + unit];
  });
}

// The same blocks turned, for d U^T: d has them in this order.
template <typename T>
Panels<T> turned(const Loop<T>& p, int inputs, int N, std::initializer_list<int> blocks) {
  const T* U = p.weights[0];
  const int64_t H = p.width;
  return pack<T>(H * int64_t(blocks.size()), H, 1, N, [=, of = blocks.begin()](int64_t k, int, int64_t unit) {
    return U[unit * inputs * H + of[k / H] * H + k % H];
  });
}

// sums (R, P) = left (R, depth) times a panel (depth, P).
template <int R, int P, typename T>
void multiply(int64_t rows, const T* left, int64_t stride, int64_t depth, const Vec<T>* panel, Vec<T>* sums) {
  if constexpr (R > 1) {
    if (rows < R) return multiply<R - 1, P>(rows, left, stride, depth, panel, sums);
  }
  Vec<T> sum[R][P];  // zeros
  for (int64_t k = 0; k < depth; ++k, panel += P) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> x(left[r * stride + k]);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sum[r][p] = at::vec::fmadd(x, panel[p], sum[r][p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) sums[r * P + p] = sum[r][p];
}

// left's blocks [from, from + deep) times the panels: finish(at, sums) has the G sums of a vector of units.
template <int G, int N, typename T, typename Finish>
void product(const Step<T>& s, const Blocks<T>& left, int from, int deep, const Panels<T>& panels, const Finish& finish) {
  constexpr int P = G * N, MOST = std::min(8, SUMS / P);
  const int64_t depth = deep * s.width, rows = s.last - s.first, parts = (rows + MOST - 1) / MOST;
  const Vec<T>* panel = panels.data();
  Vec<T> sums[MOST * P];
  for (int64_t unit = 0; unit < s.width; unit += N * V<T>, panel += depth * P)
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = s.first + part * rows / parts, last = s.first + (part + 1) * rows / parts;
      multiply<MOST, P>(last - first, left.place({first, 0, 0}, from), left.columns * s.width, depth, panel, sums);
      for (int64_t row = first; row < last; ++row)
        for (int64_t n = 0, at = unit; n < N && at < s.width; ++n, at += V<T>)
          finish(At{row, at, std::min(V<T>, s.width - at)}, sums + (row - first) * P + n * G);
    }
}

template <typename T, typename F>
void parallel(const Loop<T>& p, int columns, const F& f) {
  const bool worth = p.steps * p.rows * p.width * p.width * columns >= ENOUGH;
  const int64_t threads = worth ? std::max<int64_t>(1, std::min(p.threads, p.rows / FEWEST)) : 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
  for (int64_t i = 0; i < threads; ++i) f(p.rows * i / threads, p.rows * (i + 1) / threads);
}

template <typename Cell, typename T>
void forward(const Loop<T>& p) {
  const Packed<T> weights = Cell::there(p);
  parallel(p, Cell::COLUMNS, [&](int64_t first, int64_t last) {
    for (int64_t i = 0; i < p.steps; ++i) {
      const Step<T> s = step(p, Cell::INPUTS, Cell::COLUMNS, p.reverse ? p.steps - 1 - i : i, first, last);
      Cell::forward(s, weights);
      if (!s.valid && !s.tap[0].data) continue;
      s.each([&](At at) {
        for (int part = 0; part < Cell::PARTS; ++part) {
          if (s.tap[part].data) s.now[part].put(at, 0, s.made[part](at) + s.tap[part](at));
          if (!s.is(at.row)) s.now[part].put(at, 0, s.old[part](at));
        }
        if (s.y.data) s.y.put(at, 0, s.is(at.row) ? s.now[0](at) : Vec<T>(0));
      });
    }
  });
}

template <typename Cell, typename T>
void backward(const Loop<T>& p) {
  const Packed<T> weights = Cell::back(p);
  parallel(p, Cell::COLUMNS, [&](int64_t first, int64_t last) {
    for (int64_t i = 0; i < p.steps; ++i) {
      const Step<T> s = step(p, Cell::INPUTS, Cell::COLUMNS, p.reverse ? i : p.steps - 1 - i, first, last);
      s.each([&](At at) {
        const bool valid = s.is(at.row);
        if (valid) s.d[0].put(at, 0, s.d[0](at) + s.y(at));
        for (int part = 0; part < Cell::PARTS; ++part)
          if (s.tap[part].data) s.tap[part].put(at, 0, valid ? s.d[part](at) : Vec<T>(0));
        for (int block = 0; !valid && block < Cell::COLUMNS; ++block) s.tape.put(at, block, Vec<T>(0));
      });
      Cell::backward(s, weights);
    }
  });
}

}  // namespace

#include "native_cells.h"
