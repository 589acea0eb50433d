#!/usr/bin/env python3
"""Writes tests/eval/judgement_numbers.h: figures of judgements and of steering that other programs computed.

  python3 tools/make_judgement_fixtures.py > tests/eval/judgement_numbers.h

The regression with the length term comes from statsmodels' binomial GLM, Elo ratings from an enumeration of every order
in exact fractions of the update, the steering figures from numpy. Noted are the versions that were used.
"""

import itertools
import sys

import numpy
import statsmodels.api


def elo(games):
    """Mean rating of each player over all orders of the games."""
    players = 1 + max(max(first, second) for first, second, _ in games)
    sums, orders = numpy.zeros(players), 0
    for order in itertools.permutations(games):
        rating = numpy.full(players, 1000.0)
        for first, second, score in order:
            change = 32 * (score - 1 / (1 + 10 ** ((rating[second] - rating[first]) / 400)))
            rating[first] += change
            rating[second] -= change
        sums, orders = sums + rating, orders + 1
    return sums / orders


def length_controlled(differences, scores):
    x = numpy.tanh(differences / differences.std())
    model = statsmodels.api.GLM(scores, statsmodels.api.add_constant(x), family=statsmodels.api.families.Binomial())
    return 1 / (1 + numpy.exp(-model.fit(tol=1e-14).params[0]))


def steering(source, goal, reached):
    """Median and quartile distance of error, miscalibration, side effect (SteerBench)."""
    asked, moved, missed = goal - source, reached - source, goal - reached
    error = numpy.linalg.norm(missed, axis=1)
    length = numpy.linalg.norm(asked, axis=1)
    unit = asked / length[:, None]
    miscalibration = abs((missed * unit).sum(1)) / length
    across = moved - (moved * unit).sum(1)[:, None] * unit
    side_effect = numpy.linalg.norm(across, axis=1) / numpy.linalg.norm(moved, axis=1)
    figures = []
    for values in error, miscalibration, side_effect:
        low, median, high = numpy.quantile(values, [0.25, 0.5, 0.75])
        figures += [median, high - low]
    return figures


def row(values):
    return "{" + ", ".join(f"{value:.17g}" for value in values) + "}"


def main():
    random = numpy.random.default_rng(3)
    games = [(0, 1, 1.0), (1, 2, 0.5), (2, 0, 0.0), (0, 2, 1.0), (1, 0, 1.0)]
    lengths = random.integers(40, 900, size=(30, 2)).astype(float)
    differences = lengths[:, 0] - lengths[:, 1]
    scores = (random.random(30) < 1 / (1 + numpy.exp(-0.3 - differences / 300))).astype(float)
    scores[::7] = 0.5
    source, goal, reached = random.random((3, 11, 4)).round(3)
    print("// Made by tools/make_judgement_fixtures.py with Python %s, numpy %s, statsmodels %s." %
          (sys.version.split()[0], numpy.__version__, statsmodels.__version__))
    print("#pragma once\n\n#include <array>\n#include <vector>\n\nnamespace steerlm {\n")
    print("// first, second, score; and the mean rating of each player over all orders of the games")
    print("inline const std::vector<std::array<double, 3>> elo_games{" + ", ".join(row(game) for game in games) + "};")
    print("inline const std::vector<double> elo_means" + row(elo(games)) + ";\n")
    print("// length of the first answer, of the second, score of the first; and the rate without the effect of length")
    print("inline const std::vector<std::array<double, 3>> judged_lengths{" +
          ", ".join(row([*pair, score]) for pair, score in zip(lengths, scores)) + "};")
    print(f"inline constexpr double length_controlled = {length_controlled(differences, scores):.17g};\n")
    print("// source, goal, reached of each request; and median, quartile distance of the three figures")
    print("inline const std::vector<std::array<std::vector<double>, 3>> steering_points{" +
          ", ".join("{" + ", ".join("std::vector<double>" + row(v) for v in triple) + "}"
                    for triple in zip(source, goal, reached)) + "};")
    print("inline const std::vector<double> steering_figures" + row(steering(source, goal, reached)) + ";\n")
    print("}  // namespace steerlm")


if __name__ == "__main__":
    main()
