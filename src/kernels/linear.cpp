#include "steerlm/kernels/linear.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

#include "kernels/dispatch.h"
#include "kernels/matmul.h"

namespace steerlm {
namespace {

// Is the product of these computed by matmul.h? Other dtypes, GPUs and processors without AVX2 take ATen's.
bool takes_own_matmul(const at::Tensor& a, const at::Tensor& b) {
  return a.device().is_cpu() && a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && matmul_available();
}

// c = a b, or c += scale * a b.
void own_matmul(const at::Tensor& a_mk, const at::Tensor& b_kn, double scale, bool add, at::Tensor& c_mn) {
  require(a_mk.size(1) == b_kn.size(0) && c_mn.size(0) == a_mk.size(0) && c_mn.size(1) == b_kn.size(1),
          "linear: the shapes of a product");
  require(c_mn.scalar_type() == at::kFloat && (c_mn.stride(1) == 1 || c_mn.size(1) == 1), "linear: fp32 rows");
  matmul({.m = a_mk.size(0),
          .n = b_kn.size(1),
          .k = a_mk.size(1),
          .a = a_mk.const_data_ptr<float>(),
          .a_row = a_mk.stride(0),
          .a_column = a_mk.stride(1),
          .b = b_kn.const_data_ptr<float>(),
          .b_row = b_kn.stride(0),
          .b_column = b_kn.stride(1),
          .c = c_mn.mutable_data_ptr<float>(),
          .c_row = c_mn.stride(0),
          .alpha = static_cast<float>(scale),
          .add = add});
}

// Few rows on a CPU by the rows of a weight matrix, as a step of decoding has them.
bool takes_own_bf16(const at::Tensor& x_mk, const at::Tensor& w_kn) {
  return x_mk.device().is_cpu() && x_mk.scalar_type() == at::kBFloat16 && w_kn.scalar_type() == at::kBFloat16 &&
         x_mk.size(0) <= matmul_bf16_rows && x_mk.stride(1) == 1 && w_kn.stride(0) == 1 && x_mk.size(1) > 0 &&
         matmul_available();
}

at::Tensor own_bf16(const at::Tensor& x_mk, const at::Tensor& w_kn) {
  require(x_mk.size(1) == w_kn.size(0), "linear: the shapes of a product");
  at::Tensor y_mn = at::empty({x_mk.size(0), w_kn.size(1)}, x_mk.options());
  matmul_bf16({.m = x_mk.size(0),
               .n = w_kn.size(1),
               .k = x_mk.size(1),
               .x = static_cast<const std::uint16_t*>(x_mk.const_data_ptr()),
               .x_row = x_mk.stride(0),
               .w = static_cast<const std::uint16_t*>(w_kn.const_data_ptr()),
               .w_row = w_kn.stride(1),
               .y = static_cast<std::uint16_t*>(y_mn.mutable_data_ptr()),
               .y_row = y_mn.stride(0)});
  return y_mn;
}

at::Tensor product(const at::Tensor& a_mk, const at::Tensor& b_kn) {
  if (takes_own_bf16(a_mk, b_kn)) return own_bf16(a_mk, b_kn);
  if (!takes_own_matmul(a_mk, b_kn)) return at::mm(a_mk, b_kn);
  at::Tensor c_mn = at::empty({a_mk.size(0), b_kn.size(1)}, a_mk.options());
  own_matmul(a_mk, b_kn, 1, false, c_mn);
  return c_mn;
}

// c += scale * a b
void add_product(const at::Tensor& a_mk, const at::Tensor& b_kn, double scale, at::Tensor& c_mn) {
  if (takes_own_matmul(a_mk, b_kn))
    own_matmul(a_mk, b_kn, scale, true, c_mn);
  else if (c_mn.is_cuda() || (c_mn.scalar_type() == a_mk.scalar_type() && c_mn.scalar_type() != at::kBFloat16))
    c_mn.addmm_(a_mk, b_kn, 1, scale);  // summed in fp32 inside cuBLAS, without another pass
  else
    c_mn.add_(product(a_mk, b_kn), scale);
}

}  // namespace

bool rows_are_independent(at::ScalarType dtype, std::int64_t most_rows) {
  return matmul_available() && (dtype == at::kFloat || (dtype == at::kBFloat16 && most_rows <= matmul_bf16_rows));
}

at::Tensor linear_forward(const at::Tensor& x_ni, const at::Tensor& w_oi) { return product(x_ni, w_oi.t()); }

void linear_forward(const at::Tensor& x_ni, const at::Tensor& w_oi, double scale, at::Tensor& y_no) {
  add_product(x_ni, w_oi.t(), scale, y_no);
}

at::Tensor linear_backward_input(const at::Tensor& dy_no, const at::Tensor& w_oi) { return product(dy_no, w_oi); }

void linear_backward_input(const at::Tensor& dy_no, const at::Tensor& w_oi, double scale, at::Tensor& dx_ni) {
  add_product(dy_no, w_oi, scale, dx_ni);
}

void linear_backward_weight(const at::Tensor& dy_no, const at::Tensor& x_ni, double scale, at::Tensor& dw_oi) {
  if (dw_oi.is_cuda() && dw_oi.scalar_type() != dy_no.scalar_type())
    at::addmm_out(dw_oi, dw_oi, dy_no.t(), x_ni, dw_oi.scalar_type(), 1, scale);  // summed in fp32 inside cuBLAS
  else
    add_product(dy_no.t(), x_ni, scale, dw_oi);
}

void linear_backward_bias(const at::Tensor& dy_no, at::Tensor& db_o) {
  db_o.add_(at::sum(dy_no, 0, false, db_o.scalar_type()));
}

}  // namespace steerlm
