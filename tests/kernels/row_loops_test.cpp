// The loops over rows of each instruction set against fp64, and against each other to the bit.
#include <ATen/ops/equal.h>
#include <c10/util/BFloat16.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/composition.h"
#include "kernels/loops.h"
#include "steerlm/core/rng.h"
#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/device.h"

namespace steerlm {
namespace {

std::vector<const Loops*> instruction_sets() {
  std::vector<const Loops*> sets;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(&loops_avx2);
  if (loops() == &loops_avx512) sets.push_back(&loops_avx512);
  return sets;
}

std::vector<float> normal_numbers(std::int64_t count, const std::string& name, double scale = 1) {
  std::vector<float> numbers(static_cast<size_t>(count));
  Rng rng(23, name, 0);
  for (float& number : numbers) number = static_cast<float>(scale * rng.normal());
  return numbers;
}

std::vector<c10::BFloat16> rounded(const std::vector<float>& numbers) { return {numbers.begin(), numbers.end()}; }

// softmax(scale q k^T) v in fp64.
std::vector<double> exact_attention(const DecodeHeads& o, const std::vector<float>& k, const std::vector<float>& v) {
  std::vector<double> out;
  for (std::int64_t h = 0; h < o.heads; ++h) {
    std::vector<double> weight, sum(static_cast<size_t>(o.e), 0);
    double total = 0;
    for (std::int64_t t = o.first; t < o.end; ++t) {
      double dot = 0;
      for (std::int64_t c = 0; c < o.e; ++c)
        dot += static_cast<double>(o.q[h * o.e + c]) * static_cast<double>(k[static_cast<size_t>(t * o.e + c)]);
      weight.push_back(std::exp(dot * static_cast<double>(o.scale)));
      total += weight.back();
      for (std::int64_t c = 0; c < o.e; ++c)
        sum[static_cast<size_t>(c)] += weight.back() * static_cast<double>(v[static_cast<size_t>(t * o.e + c)]);
    }
    for (const double value : sum) out.push_back(value / total);
  }
  return out;
}

TEST(RowLoops, AttentionIsThatOfFp64ForEveryLengthAndShape) {
  if (instruction_sets().empty()) GTEST_SKIP() << "no AVX2";
  for (const std::int64_t e : {16, 32, 64, 80, 128, 192}) {
    for (const std::int64_t heads : {1, 3}) {
      for (const std::int64_t end : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100}) {
        for (const std::int64_t first : {std::int64_t{0}, end / 3}) {
          for (const bool bf16 : {false, true}) {
            const std::vector<float> q = normal_numbers(heads * e, "q", 1.5);
            std::vector<float> k = normal_numbers(end * e, "k"), v = normal_numbers(end * e, "v");
            const std::vector<c10::BFloat16> k_half = rounded(k), v_half = rounded(v);
            if (bf16) {
              k.assign(k_half.begin(), k_half.end());
              v.assign(v_half.begin(), v_half.end());
            }
            std::vector<std::vector<float>> outs;
            for (const Loops* set : instruction_sets()) {
              std::vector<float>& out = outs.emplace_back(q.size());
              std::vector<float> scores(static_cast<size_t>(heads * (end - first + 15)));
              const DecodeHeads o{heads,
                                  e,
                                  first,
                                  end,
                                  q.data(),
                                  bf16 ? static_cast<const void*>(k_half.data()) : k.data(),
                                  bf16 ? static_cast<const void*>(v_half.data()) : v.data(),
                                  bf16,
                                  1 / std::sqrt(static_cast<float>(e)),
                                  out.data()};
              set->decode_attention(o, scores.data());
              const std::vector<double> exact = exact_attention(o, k, v);
              for (size_t i = 0; i < out.size(); ++i)
                ASSERT_NEAR(static_cast<double>(out[i]), exact[i], 2e-6)
                    << e << " wide, " << heads << " heads, tokens " << first << " to " << end << ", " << bf16;
            }
            ASSERT_EQ(std::memcmp(outs.front().data(), outs.back().data(), q.size() * sizeof(float)), 0)
                << "other bits by instruction set: " << e << ", " << end;
          }
        }
      }
    }
  }
}

TEST(RowLoops, AttentionShowsWhatIsNotFinite) {
  for (const Loops* set : instruction_sets()) {
    for (const float bad : {NAN, INFINITY}) {
      const std::vector<float> q(16, 1);
      std::vector<float> k(20 * 16, 0.5), out(16), scores(35);
      const std::vector<float> v(20 * 16, 1);
      k[17 * 16 + 3] = bad;
      set->decode_attention({1, 16, 0, 20, q.data(), k.data(), v.data(), false, 0.25f, out.data()}, scores.data());
      for (const float value : out) EXPECT_TRUE(std::isnan(value)) << bad;
    }
  }
}

TEST(RowLoops, ARowReadsTheSlotThatItIsSaidTo) {
  const at::Tensor q = random_tensor({3, 4, 32}, "q").to(at::kFloat);
  const at::Tensor k = random_tensor({5, 2, 20, 32}, "k").to(at::kFloat),
                   v = random_tensor({5, 2, 20, 32}, "v").to(at::kFloat);
  const std::vector<std::int32_t> slots{4, 0, 2}, lengths{20, 7, 13};
  const at::Tensor together =
      decode_attention(q, k, v, to_device(lengths, at::kCPU), 20, 0, to_device(slots, at::kCPU));
  for (std::int64_t row = 0; row < 3; ++row) {
    const std::int64_t slot = slots[static_cast<size_t>(row)];
    const std::vector<std::int32_t> length{lengths[static_cast<size_t>(row)]};
    EXPECT_TRUE(at::equal(together.narrow(0, row, 1),
                          decode_attention(q.narrow(0, row, 1), k.narrow(0, slot, 1), v.narrow(0, slot, 1),
                                           to_device(length, at::kCPU), 20, 0)));
  }
  EXPECT_THROW(decode_attention(q, k, v, to_device(lengths, at::kCPU), 20, 0,
                                to_device(std::vector<std::int32_t>{4, 0, 5}, at::kCPU)),
               std::logic_error);
}

TEST(RowLoops, SumsOfARowAreThoseOfFp64) {
  if (instruction_sets().empty()) GTEST_SKIP() << "no AVX2";
  for (const std::int64_t n : {1, 15, 16, 17, 100, 49152}) {
    for (const float sharpness : {1.0f, 0.4f, 3.0f, 100.0f}) {
      const std::vector<float> row = normal_numbers(n, "logits", 4);
      double sum = 0, sharpened = 0;
      const float largest = *std::max_element(row.begin(), row.end());
      for (const float logit : row) {
        const double below = static_cast<double>(logit) - static_cast<double>(largest);
        sum += std::exp(below);
        sharpened += std::exp(below * static_cast<double>(sharpness));
      }
      std::vector<RowSums> results;
      for (const Loops* set : instruction_sets()) {
        const RowSums& result = results.emplace_back(set->row_sums(row.data(), n, sharpness));
        EXPECT_EQ(result.largest, largest);
        EXPECT_TRUE(result.finite);
        EXPECT_NEAR(result.sum, sum, 1e-7 * sum);
        EXPECT_NEAR(result.sharpened, sharpened, 2e-6 * sharpened) << sharpness;
      }
      EXPECT_EQ(results.front().sum, results.back().sum) << n;
      EXPECT_EQ(results.front().sharpened, results.back().sharpened) << n;
    }
  }
}

TEST(RowLoops, WeightsAndTheirGradientsAreThoseOfFp64) {
  if (instruction_sets().empty()) GTEST_SKIP() << "no AVX2";
  for (const std::int64_t n : {1, 15, 16, 17, 100, 4097}) {
    const std::vector<float> scores = normal_numbers(n, "scores", 4), gradient = normal_numbers(n, "gradient");
    const float largest = *std::max_element(scores.begin(), scores.end());
    std::vector<std::vector<float>> results;
    for (const Loops* set : instruction_sets()) {
      EXPECT_EQ(set->largest(scores.data(), n), largest) << n;
      // What lies behind the row must stay.
      std::vector<float> weights = scores, dscores = gradient;
      weights.push_back(7);
      dscores.push_back(7);
      const float total = set->exponentials(weights.data(), n, largest, 0.25f);
      set->score_gradient(dscores.data(), weights.data(), n, 0.5f);
      double sum = 0;
      for (size_t i = 0; i < scores.size(); ++i) {
        const double weight = 0.25 * std::exp(static_cast<double>(scores[i] - largest));
        sum += weight;
        EXPECT_NEAR(weights[i], weight, 1e-6 * weight);
        const double wanted = static_cast<double>(weights[i]) * (static_cast<double>(gradient[i]) - 0.5);
        EXPECT_NEAR(dscores[i], wanted, 2e-7 * std::abs(wanted));
      }
      EXPECT_NEAR(total, sum, 1e-6 * sum);
      EXPECT_EQ(weights.back(), 7);
      EXPECT_EQ(dscores.back(), 7);
      weights.push_back(total);
      weights.insert(weights.end(), dscores.begin(), dscores.end());
      results.push_back(weights);
    }
    EXPECT_EQ(results.front(), results.back()) << n;
  }
}

TEST(RowLoops, ARowIsFiniteOnlyIfAllOfItIs) {
  for (const Loops* set : instruction_sets()) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      for (std::int64_t place = 0; place < 37; ++place) {
        std::vector<float> row = normal_numbers(37, "logits");
        row[static_cast<size_t>(place)] = bad;
        EXPECT_FALSE(set->row_sums(row.data(), 37, 1).finite) << bad << " at " << place;
      }
    }
  }
}

}  // namespace
}  // namespace steerlm
