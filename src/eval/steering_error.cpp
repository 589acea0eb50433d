#include "steerlm/eval/steering_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "steerlm/eval/intervals.h"

namespace steerlm {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (size_t i = 0; i < a.size(); ++i) result.push_back(a[i] - b[i]);
  return result;
}

SteeringFigure figure(std::vector<double> values) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (values.empty()) return {nan, nan, nan, 0};
  std::ranges::sort(values);
  return {quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75), std::ssize(values)};
}

}  // namespace

SteeringErrors steering_errors(std::span<const SteeringRequest> requests) {
  std::vector<double> errors, miscalibrations, side_effects;
  for (const SteeringRequest& request : requests) {
    const std::vector<double> asked = difference(request.goal, request.source);
    const std::vector<double> moved = difference(request.reached, request.source);
    const std::vector<double> missed = difference(request.goal, request.reached);
    const double asked_length = std::sqrt(dot(asked, asked)), moved_length = std::sqrt(dot(moved, moved));
    errors.push_back(std::sqrt(dot(missed, missed)));
    if (asked_length == 0) continue;
    miscalibrations.push_back(std::abs(dot(missed, asked)) / (asked_length * asked_length));
    if (moved.size() < 2) continue;
    const double along = dot(moved, asked) / asked_length;
    const double across = std::sqrt(std::max(0.0, moved_length * moved_length - along * along));
    // The published code divides by |z^ - z0| plus a ten-thousandth of |z* - z0|: 0 / 0 is 0 there.
    side_effects.push_back(moved_length == 0 ? 0 : std::min(1.0, across / moved_length));
  }
  return {figure(errors), figure(miscalibrations), figure(side_effects)};
}

std::vector<std::optional<SteeringRequest>> steering_requests(std::span<const SweepPoint> points) {
  const auto known = [](const SweepPoint& point) {
    return std::ranges::none_of(point.measured, [](double value) { return std::isnan(value); });
  };
  std::map<size_t, const SweepPoint*> sources;
  for (const SweepPoint& point : points) {
    if (point.at_defaults && known(point)) sources.emplace(point.request, &point);
  }
  std::vector<std::optional<SteeringRequest>> requests;
  for (const SweepPoint& point : points) {
    requests.emplace_back();
    const auto source = sources.find(point.request);
    if (point.at_defaults || source == sources.end() || !known(point) || point.attribute >= point.measured.size())
      continue;
    SteeringRequest& request = requests.back().emplace();
    request.source = request.goal = source->second->measured;
    request.goal[point.attribute] = point.asked;
    request.reached = point.measured;
  }
  return requests;
}

}  // namespace steerlm
