#include "steerlm/nn/linear.h"

#include "steerlm/kernels/linear.h"

namespace steerlm {

at::Tensor linear_forward(const at::Tensor& x_ni, const LinearParameters& w) {
  at::Tensor y_no = linear_forward(x_ni, w.weight_oi);
  if (w.bias_o.defined()) y_no.add_(w.bias_o);
  if (w.lora_a_ri.defined()) y_no.add_(linear_forward(linear_forward(x_ni, w.lora_a_ri), w.lora_b_or), w.lora_scale);
  return y_no;
}

at::Tensor linear_backward(const at::Tensor& dy_no, const at::Tensor& x_ni, const LinearParameters& w,
                           LinearParameters& gradients) {
  at::Tensor dx_ni = linear_backward_input(dy_no, w.weight_oi);
  if (gradients.weight_oi.defined()) linear_backward_weight(dy_no, x_ni, gradients.weight_oi);
  if (gradients.bias_o.defined()) linear_backward_bias(dy_no, gradients.bias_o);
  if (!w.lora_a_ri.defined()) return dx_ni;
  const at::Tensor dz_nr = linear_backward_input(dy_no, w.lora_b_or).mul_(w.lora_scale);  // of z = A x
  if (gradients.lora_b_or.defined())
    linear_backward_weight(dy_no, linear_forward(x_ni, w.lora_a_ri).mul_(w.lora_scale), gradients.lora_b_or);
  if (gradients.lora_a_ri.defined()) linear_backward_weight(dz_nr, x_ni, gradients.lora_a_ri);
  return dx_ni.add_(linear_backward_input(dz_nr, w.lora_a_ri));
}

}  // namespace steerlm
