#!/usr/bin/env python3
"""Writes tests/fixtures/beta_law.json: log-probabilities of SteerLM 2.0's Beta law (HelpSteer2, section 4.5) by scipy
and mpmath.

Every case is computed twice: scipy.stats.beta's cdf and sf, which lose digits far in a tail, and mpmath's
incomplete beta function with 50 digits. The file holds mpmath's numbers; the two must agree to 1e-6 wherever the
probability is above 1e-12.

  python3 -m pip install scipy mpmath; python3 tools/make_beta_fixtures.py
"""
import json
import math
import pathlib

import mpmath
import scipy
from scipy import stats

mpmath.mp.dps = 50
CLAMP = 1e-3


def edges(kind, minimum, maximum):
    count = maximum - minimum + 1
    if kind == "equal":
        return [mpmath.mpf(k) / count for k in range(count + 1)]
    inner = [(mpmath.mpf(2 * k - 1) / 2) / (maximum - minimum) for k in range(1, count)]
    return [mpmath.mpf(0), *inner, mpmath.mpf(1)]


def lower(a, b, x):
    """I_x(a, b)."""
    return mpmath.betainc(a, b, 0, x, regularized=True)


def log_probability(score, value, minimum, maximum, concentration, kind):
    share = min(max((score - minimum) / (maximum - minimum), CLAMP), 1 - CLAMP)
    alpha = concentration * share
    beta = concentration - alpha
    low, high = edges(kind, minimum, maximum)[value - minimum : value - minimum + 2]
    # In a tail the difference of what is beyond the two edges, each by its own series: nothing cancels.
    if high <= mpmath.mpf(alpha) / concentration:
        exact = lower(alpha, beta, high) - lower(alpha, beta, low)
    elif low >= mpmath.mpf(alpha) / concentration:
        exact = lower(beta, alpha, 1 - low) - lower(beta, alpha, 1 - high)
    else:
        exact = 1 - lower(alpha, beta, low) - lower(beta, alpha, 1 - high)
    law = stats.beta(alpha, beta)
    double = law.cdf(float(high)) - law.cdf(float(low)) if float(high) < law.mean() else law.sf(float(low)) - law.sf(float(high))
    if exact > 1e-12:
        assert abs(float(exact) / double - 1) < 1e-6, (score, value, float(exact), double)
    return float(mpmath.log(exact))


def main():
    cases = []
    for minimum, maximum in ((0, 4), (0, 9), (1, 5)):
        for kind in ("equal", "half"):
            for concentration in (24, 3, 500):
                for tenths in range(minimum * 10 - 5, maximum * 10 + 6, 9):
                    for value in range(minimum, maximum + 1):
                        score = tenths / 10
                        cases.append([score, value, minimum, maximum, kind, concentration,
                                      log_probability(score, value, minimum, maximum, concentration, kind)])
    # The figures of the text: score 3.0 and 3.6 on the scale 0 to 4.
    for score, kind, value, figure in ((3.0, "equal", 3, 0.64), (3.0, "equal", 4, 0.31), (3.0, "half", 3, 0.86),
                                       (3.0, "half", 4, 0.06), (3.6, "equal", 4, 0.93), (3.6, "half", 4, 0.71)):
        assert abs(math.exp(log_probability(score, value, 0, 4, 24, kind)) - figure) < 0.006
    path = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "beta_law.json"
    lines = ",\n".join(json.dumps(case) for case in cases)
    versions = {"scipy": scipy.__version__, "mpmath": mpmath.__version__}
    path.write_text('{"versions": ' + json.dumps(versions) + ',\n"keys": ["score", "value", "min", "max", "edges", '
                    '"concentration", "log_probability"],\n"cases": [\n' + lines + "\n]}\n")
    print(f"{len(cases)} cases in {path}")


if __name__ == "__main__":
    main()
