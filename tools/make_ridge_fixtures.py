#!/usr/bin/env python3
"""Writes tests/fixtures/ridge.json: ridge regressions as scikit-learn solves them, for tests/train/ridge_test.cpp.

    python3 tools/make_ridge_fixtures.py

Needs numpy and scikit-learn; the versions are in the file. Each target is fitted over the rows where it is known by
make_pipeline(StandardScaler(), Ridge(alpha)); alpha is chosen by GridSearchCV over the folds that GroupKFold makes of
the rows' groups, by mean squared error.
"""
import json
import pathlib

import numpy
import sklearn
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV, GroupKFold, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

OUTPUT = pathlib.Path(__file__).parent.parent / "tests" / "fixtures" / "ridge.json"


def model(alpha=1.0):
    return make_pipeline(StandardScaler(), Ridge(alpha=alpha, solver="svd"))


def solve(features, targets, folds, penalties):
    """One target a column of `targets`, NaN unknown."""
    solved = []
    for column in targets.T:
        known = ~numpy.isnan(column)
        x, y, fold = features[known], column[known], folds[known]
        search = GridSearchCV(model(), {"ridge__alpha": penalties}, scoring="neg_mean_squared_error",
                              cv=PredefinedSplit(fold)).fit(x, y)
        errors = []
        for penalty in penalties:
            predicted = numpy.empty_like(y)
            for held_out in numpy.unique(fold):
                rows = fold == held_out
                predicted[rows] = model(penalty).fit(x[~rows], y[~rows]).predict(x[rows])
            errors.append(mean_squared_error(y, predicted))
        chosen = search.best_params_["ridge__alpha"]
        # Folds of unlike sizes: the mean over rows and the mean over folds of their means are not the same number.
        assert chosen == penalties[int(numpy.argmin(errors))], "choose data on which both agree"
        scaler, ridge = model(chosen).fit(x, y)
        weight = ridge.coef_ / scaler.scale_
        solved.append({"rows": int(known.sum()), "errors": errors, "penalty": chosen, "weight": weight.tolist(),
                       "bias": float(ridge.intercept_ - weight @ scaler.mean_)})
    return solved


def case(rng, rows, width, groups, penalties, known_shares):
    features = rng.standard_normal((rows, width)) * 10.0 ** rng.uniform(-2, 2, width) + rng.uniform(-50, 50, width)
    features[:, 1] = features[:, 0]  # collinear
    features[:, 2] = 3.25  # does not vary
    features = features.astype(numpy.float32).astype(numpy.float64)
    standardised = (features - features.mean(0)) / numpy.where(features.std(0) > 0, features.std(0), 1)
    targets = standardised @ rng.standard_normal((width, len(known_shares))) + 5 + rng.standard_normal(
        (rows, len(known_shares))) * numpy.array([0.3, 3.0, 30.0, 1.0])[:len(known_shares)]
    group = rng.integers(0, groups, rows)
    hidden = rng.uniform(size=rows)
    for column, share in enumerate(known_shares):
        targets[hidden > share, column] = numpy.nan
    folds = numpy.empty(rows, dtype=int)
    for fold, (_, held_out) in enumerate(GroupKFold(4).split(features, groups=group)):
        folds[held_out] = fold
    return {"features": features.tolist(),
            "targets": [[None if numpy.isnan(value) else value for value in row] for row in targets],
            "folds": folds.tolist(), "penalties": penalties, "solved": solve(features, targets, folds, penalties)}


def main():
    rng = numpy.random.default_rng(7)
    penalties = [0.1, 1.0, 10.0, 100.0, 1000.0]
    fixture = {"versions": {"numpy": numpy.__version__, "scikit-learn": sklearn.__version__},
               # columns 0 and 3 are known in the same rows
               "cases": {"tall": case(rng, 60, 7, 12, penalties, [1.0, 0.7, 0.5, 1.0]),
                         "wide": case(rng, 14, 20, 7, penalties, [1.0, 0.8])}}
    OUTPUT.write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
