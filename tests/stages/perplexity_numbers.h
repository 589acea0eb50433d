// Made by tools/make_perplexity_fixtures.py with Python 3.11.7, transformers 5.24.0, torch 2.11.0+cu130,
// sentencepiece 0.2.3.
#pragma once

#include <vector>

namespace steerlm {

// Of prompt p and response r the entry 3 p + r: the sum of the log-probabilities of the response's tokens, their
// number.
struct KnownLikelihood {
  double sum;
  int tokens;
};
inline const std::vector<KnownLikelihood> steerlm_likelihoods{{-124.247459511, 16}, {-84.0258727155, 12},
                                                              {-7.73194557409, 1},  {-109.677106285, 16},
                                                              {-88.4369902367, 12}, {-8.30410862134, 1}};
inline const std::vector<KnownLikelihood> plain_likelihoods{{-125.743439109, 16}, {-89.4825699985, 12},
                                                            {-5.7072960798, 1},   {-119.265850955, 16},
                                                            {-80.3882041169, 12}, {-7.4741727802, 1}};

}  // namespace steerlm
