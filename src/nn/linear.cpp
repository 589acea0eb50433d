#include "steerlm/nn/linear.h"

#include <ATen/ops/empty.h>

#include <numeric>

#include "steerlm/kernels/linear.h"

namespace steerlm {
namespace {

// The matrix that consists of these, one below the other; undefined where they do not lie so on a GPU.
at::Tensor rows_of_one(const std::vector<at::Tensor>& parts) {
  std::int64_t rows = 0;
  for (const at::Tensor& part : parts) {
    if (!part.defined() || !part.is_cuda() || !part.is_contiguous() || part.size(1) != parts[0].size(1) ||
        part.const_data_ptr() !=
            static_cast<const char*>(parts[0].const_data_ptr()) + rows * parts[0].size(1) * part.element_size())
      return {};
    rows += part.size(0);
  }
  return parts[0].as_strided({rows, parts[0].size(1)}, {parts[0].size(1), 1});
}

// The matrix of which these are the columns, from left to right, all of them; undefined where they are not.
at::Tensor columns_of_one(const std::vector<at::Tensor>& parts) {
  std::int64_t columns = 0;
  for (const at::Tensor& part : parts) {
    if (!part.is_cuda() || part.stride(1) != 1 || part.stride(0) != parts[0].stride(0) ||
        part.const_data_ptr() != static_cast<const char*>(parts[0].const_data_ptr()) + columns * part.element_size())
      return {};
    columns += part.size(1);
  }
  return columns == parts[0].stride(0) ? parts[0].as_strided({parts[0].size(0), columns}, {columns, 1}) : at::Tensor();
}

// The weights of the projections, or what of them `of` has.
at::Tensor weights_of_one(auto projections) {
  std::vector<at::Tensor> weights;
  for (const LinearParameters* one : projections) weights.push_back(one->weight_oi);
  return weights.size() > 1 ? rows_of_one(weights) : at::Tensor();
}

void add_bias_and_update(const at::Tensor& x_ni, const LinearParameters& w, at::Tensor& y_no) {
  if (w.bias_o.defined()) y_no.add_(w.bias_o);
  if (w.lora_a_ri.defined()) linear_forward(linear_forward(x_ni, w.lora_a_ri), w.lora_b_or, w.lora_scale, y_no);
}

void add_input_gradient(const at::Tensor& dy_no, const at::Tensor& w_oi, at::Tensor& dx_ni) {
  if (dx_ni.defined())
    linear_backward_input(dy_no, w_oi, 1, dx_ni);
  else
    dx_ni = linear_backward_input(dy_no, w_oi);
}

}  // namespace

std::vector<at::Tensor> columns_side_by_side(std::int64_t n, const std::vector<std::int64_t>& widths,
                                             const at::Tensor& like) {
  const at::Tensor all = at::empty({n, std::accumulate(widths.begin(), widths.end(), std::int64_t{0})}, like.options());
  std::vector<at::Tensor> parts;
  std::int64_t begin = 0;
  for (const std::int64_t width : widths) {
    parts.push_back(all.narrow(1, begin, width));
    begin += width;
  }
  return parts;
}

at::Tensor linear_forward(const at::Tensor& x_ni, const LinearParameters& w) { return linear_forward(x_ni, {&w})[0]; }

std::vector<at::Tensor> linear_forward(const at::Tensor& x_ni, std::initializer_list<const LinearParameters*> w) {
  std::vector<at::Tensor> results;
  const at::Tensor weights = weights_of_one(w);
  const at::Tensor all = weights.defined() ? linear_forward(x_ni, weights) : at::Tensor();
  std::int64_t begin = 0;
  for (const LinearParameters* one : w) {
    const std::int64_t width = one->weight_oi.size(0);
    results.push_back(all.defined() ? all.narrow(1, begin, width) : linear_forward(x_ni, one->weight_oi));
    add_bias_and_update(x_ni, *one, results.back());
    begin += width;
  }
  return results;
}

void linear_backward_input(const std::vector<at::Tensor>& dy, std::initializer_list<const LinearParameters*> w,
                           at::Tensor& dx_ni) {
  const at::Tensor weights = weights_of_one(w);
  const at::Tensor all = weights.defined() ? columns_of_one(dy) : at::Tensor();
  if (all.defined()) add_input_gradient(all, weights, dx_ni);
  for (size_t i = 0; i < dy.size(); ++i) {
    const LinearParameters& one = *w.begin()[i];
    if (!all.defined()) add_input_gradient(dy[i], one.weight_oi, dx_ni);
    if (one.lora_a_ri.defined())
      linear_backward_input(linear_backward_input(dy[i], one.lora_b_or), one.lora_a_ri, one.lora_scale, dx_ni);
  }
}

void linear_backward_weights(const std::vector<at::Tensor>& dy, const at::Tensor& x_ni,
                             std::initializer_list<const LinearParameters*> w,
                             std::initializer_list<LinearParameters*> gradients) {
  at::Tensor of_all = weights_of_one(gradients);
  const at::Tensor all = of_all.defined() ? columns_of_one(dy) : at::Tensor();
  if (all.defined()) linear_backward_weight(all, x_ni, 1, of_all);
  for (size_t i = 0; i < dy.size(); ++i) {
    const LinearParameters& one = *w.begin()[i];
    LinearParameters& gradient = *gradients.begin()[i];
    if (gradient.weight_oi.defined() && !all.defined()) linear_backward_weight(dy[i], x_ni, 1, gradient.weight_oi);
    if (gradient.bias_o.defined()) linear_backward_bias(dy[i], gradient.bias_o);
    if (gradient.lora_b_or.defined())
      linear_backward_weight(dy[i], linear_forward(x_ni, one.lora_a_ri), one.lora_scale, gradient.lora_b_or);
    if (gradient.lora_a_ri.defined())
      linear_backward_weight(linear_backward_input(dy[i], one.lora_b_or), x_ni, one.lora_scale, gradient.lora_a_ri);
  }
}

}  // namespace steerlm
