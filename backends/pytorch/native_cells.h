// A step of each architecture and its derivative, after `step` and `step_vjp` of suite/spec/archs; see native.cpp.
//
// The blocks of a tape are those of fused_cells.py. dr, dz, dn, di, ... are dL/d of what stands within a gate's sigmoid
// or tanh. `backward` is called with d = dL/ds_t and leaves dL/ds_{t-1} there; in rows of pads d stays as it is, for
// there the tape is 0.

namespace {

template <typename T>
Vec<T> sigmoid(const Vec<T>& x) {
  return Vec<T>(1) / (Vec<T>(1) + x.neg().exp());
}

template <typename T>
Vec<T> sigmoid_backward(const Vec<T>& d, const Vec<T>& s) {
  return d * s * (Vec<T>(1) - s);
}

template <typename T>
Vec<T> tanh_backward(const Vec<T>& d, const Vec<T>& t) {
  return d * (Vec<T>(1) - t * t);
}

// d += left's blocks [from, from + deep) times the panels.
template <typename T>
void add_product(const Step<T>& s, const Blocks<T>& left, int from, int deep, const Panels<T>& panels) {
  product<1, 2>(s, left, from, deep, panels, [&](At at, const Vec<T>* sum) { s.d[0].put(at, 0, s.d[0](at) + sum[0]); });
}

template <bool RELU>
struct Rnn {  // h' = tanh(a + h U), or max(0, a + h U)
  static constexpr int INPUTS = 1, COLUMNS = 1, PARTS = 1;

  template <typename T>
  static Packed<T> there(const Loop<T>& p) {
    return {across(p, INPUTS, 2, {0})};
  }
  template <typename T>
  static Packed<T> back(const Loop<T>& p) {
    return {turned(p, INPUTS, 2, {0})};
  }

  template <typename T>
  static void forward(const Step<T>& s, const Packed<T>& U) {
    product<1, 2>(s, s.old[0], 0, 1, U[0], [&](At at, const Vec<T>* sum) {
      const Vec<T> x = s.a(at) + sum[0];
      s.made[0].put(at, 0, RELU ? at::vec::maximum(x, Vec<T>(0)) : x.tanh());
    });
  }

  template <typename T>
  static void backward(const Step<T>& s, const Packed<T>& U) {
    s.each_valid([&](At at) {
      const Vec<T> zero(0), h = s.made[0](at), dh = s.d[0](at);
      s.tape.put(at, 0, RELU ? Vec<T>::blendv(dh, zero, h <= zero) : tanh_backward(dh, h));
      s.d[0].put(at, 0, zero);
    });
    add_product(s, s.tape, 0, 1, U[0]);
  }
};

struct Gru {  // r, z = sigmoid(a + u), n = tanh(a_n + r u_n), h' = n + z (h - n) with u = h U + c; tape u_n r z n
  static constexpr int INPUTS = 3, COLUMNS = 4, PARTS = 1;

  template <typename T>
  static Packed<T> there(const Loop<T>& p) {
    return {across(p, INPUTS, 1, {0, 1, 2})};
  }
  template <typename T>
  static Packed<T> back(const Loop<T>& p) {
    return {turned(p, INPUTS, 2, {2, 0, 1})};
  }

  template <typename T>
  static void forward(const Step<T>& s, const Packed<T>& U) {
    const Blocks<T>& c = s.other;
    product<3, 1>(s, s.old[0], 0, 1, U[0], [&](At at, const Vec<T>* sum) {
      const Vec<T> r = sigmoid(s.a(at, 0) + sum[0] + c(at, 0)), z = sigmoid(s.a(at, 1) + sum[1] + c(at, 1));
      const Vec<T> u = sum[2] + c(at, 2), n = (s.a(at, 2) + r * u).tanh();
      s.tape.put(at, 0, u, r, z, n);
      s.made[0].put(at, 0, n + z * (s.old[0](at) - n));
    });
  }

  template <typename T>
  static void backward(const Step<T>& s, const Packed<T>& U) {
    s.each_valid([&](At at) {
      const Vec<T> u = s.tape(at, 0), r = s.tape(at, 1), z = s.tape(at, 2), n = s.tape(at, 3);
      const Vec<T> dh = s.d[0](at), dn = tanh_backward(dh * (Vec<T>(1) - z), n);
      const Vec<T> dz = sigmoid_backward(dh * (s.old[0](at) - n), z), dr = sigmoid_backward(dn * u, r);
      s.tape.put(at, 0, dn * r, dr, dz, dn);
      s.d[0].put(at, 0, dh * z);
    });
    add_product(s, s.tape, 0, 3, U[0]);
  }
};

struct GruBefore {  // r, z = sigmoid(a + h U), q = r h, n = tanh(a_n + q U_n), h' = n + z (h - n); tape r z n q
  static constexpr int INPUTS = 3, COLUMNS = 4, PARTS = 1;

  template <typename T>
  static Packed<T> there(const Loop<T>& p) {
    return {across(p, INPUTS, 1, {0, 1}), across(p, INPUTS, 2, {2})};
  }
  template <typename T>
  static Packed<T> back(const Loop<T>& p) {
    return {turned(p, INPUTS, 2, {2}), turned(p, INPUTS, 2, {0, 1})};
  }

  template <typename T>
  static void forward(const Step<T>& s, const Packed<T>& U) {
    product<2, 1>(s, s.old[0], 0, 1, U[0], [&](At at, const Vec<T>* sum) {
      const Vec<T> r = sigmoid(s.a(at, 0) + sum[0]), z = sigmoid(s.a(at, 1) + sum[1]);
      s.tape.put(at, 0, r, z);
      s.tape.put(at, 3, r * s.old[0](at));
    });
    product<1, 2>(s, s.tape, 3, 1, U[1], [&](At at, const Vec<T>* sum) {
      const Vec<T> n = (s.a(at, 2) + sum[0]).tanh();
      s.tape.put(at, 2, n);
      s.made[0].put(at, 0, n + s.tape(at, 1) * (s.old[0](at) - n));
    });
  }

  template <typename T>
  static void backward(const Step<T>& s, const Packed<T>& U) {
    s.each_valid([&](At at) {
      const Vec<T> z = s.tape(at, 1), n = s.tape(at, 2), dh = s.d[0](at);
      const Vec<T> dz = sigmoid_backward(dh * (s.old[0](at) - n), z);
      s.tape.put(at, 1, dz, tanh_backward(dh * (Vec<T>(1) - z), n));
      s.d[0].put(at, 0, dh * z);
    });
    product<1, 2>(s, s.tape, 2, 1, U[0], [&](At at, const Vec<T>* dq) {
      const Vec<T> r = s.tape(at, 0);
      s.d[0].put(at, 0, s.d[0](at) + r * dq[0]);
      s.tape.put(at, 0, sigmoid_backward(dq[0] * s.old[0](at), r));
    });
    add_product(s, s.tape, 0, 2, U[1]);
  }
};

template <bool LOOKS>
struct Lstm {  // i, f, o = sigmoid(a + h U), g = tanh(a_g + h U_g), c' = f c + i g, t = tanh(c'), h' = o t; tape i f g o t
  // where the gates look at the cell: i, f = sigmoid(a + h U + P c) and o = sigmoid(a_o + h U_o + P_o c')
  static constexpr int INPUTS = 4, COLUMNS = 5, PARTS = 2;

  template <typename T>
  static Packed<T> there(const Loop<T>& p) {
    return {across(p, INPUTS, 1, {0, 1, 2, 3})};
  }
  template <typename T>
  static Packed<T> back(const Loop<T>& p) {
    return {turned(p, INPUTS, 2, {0, 1, 2, 3})};
  }

  template <typename T>
  static void forward(const Step<T>& s, const Packed<T>& U) {
    const Blocks<T>& P = s.other;
    product<4, 1>(s, s.old[0], 0, 1, U[0], [&](At at, const Vec<T>* sum) {
      const Vec<T> c = s.old[1](at), g = (s.a(at, 2) + sum[2]).tanh();
      Vec<T> i = s.a(at, 0) + sum[0], f = s.a(at, 1) + sum[1], o = s.a(at, 3) + sum[3];
      i = sigmoid(LOOKS ? i + P(at, 0) * c : i);
      f = sigmoid(LOOKS ? f + P(at, 1) * c : f);
      const Vec<T> now = f * c + i * g, t = now.tanh();
      o = sigmoid(LOOKS ? o + P(at, 2) * now : o);
      s.tape.put(at, 0, i, f, g, o, t);
      s.made[0].put(at, 0, o * t);
      s.made[1].put(at, 0, now);
    });
  }

  template <typename T>
  static void backward(const Step<T>& s, const Packed<T>& U) {
    const Blocks<T>& P = s.other;
    s.each_valid([&](At at) {
      const Vec<T> i = s.tape(at, 0), f = s.tape(at, 1), g = s.tape(at, 2), o = s.tape(at, 3), t = s.tape(at, 4);
      const Vec<T> dh = s.d[0](at), d_o = sigmoid_backward(dh * t, o), through = s.d[1](at) + tanh_backward(dh * o, t);
      const Vec<T> dc = LOOKS ? through + d_o * P(at, 2) : through;
      const Vec<T> di = sigmoid_backward(dc * g, i), df = sigmoid_backward(dc * s.old[1](at), f);
      s.tape.put(at, 0, di, df, tanh_backward(dc * i, g), d_o);
      s.d[0].put(at, 0, Vec<T>(0));
      s.d[1].put(at, 0, LOOKS ? dc * f + di * P(at, 0) + df * P(at, 1) : dc * f);
    });
    add_product(s, s.tape, 0, 4, U[0]);
  }
};

}  // namespace

#define OFFER(name, cell)                                                                              \
  extern "C" void name##_forward_float32(const Loop<float>* p) { forward<cell>(*p); }                  \
  extern "C" void name##_forward_float64(const Loop<double>* p) { forward<cell>(*p); }                 \
  extern "C" void name##_backward_float32(const Loop<float>* p) { backward<cell>(*p); }                \
  extern "C" void name##_backward_float64(const Loop<double>* p) { backward<cell>(*p); }

OFFER(rnn, Rnn<false>)
OFFER(rnn_relu, Rnn<true>)
OFFER(gru, Gru)
OFFER(gru_before, GruBefore)
OFFER(lstm, Lstm<false>)
OFFER(lstm_peephole, Lstm<true>)
