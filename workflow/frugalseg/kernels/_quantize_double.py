"""Double-double arithmetic behind `frugalseg.kernels.quantize`: about twice the digits of float64.

A double-double number is the unevaluated sum of a float64 number and what rounding took from it; a double-double vector
is an array (2, D) of both.
"""

import numpy as np
from numba import njit

#: Two double-double gains closer than this part of their terms are a tie; double-double carries 2^-104.
TIE = 2.0**-88

loop = njit(cache=True, nogil=True)


@loop
def two_sum(a, b):
    """a + b as an unevaluated sum of the float64 result and its exact error."""
    total = a + b
    shifted = total - a
    return total, (a - (total - shifted)) + (b - shifted)


@loop
def two_product(a, b):
    """a * b as an unevaluated sum of the float64 result and its exact error (Dekker, Veltkamp)."""
    product = a * b
    scaled = 134217729.0 * a
    a_high = scaled - (scaled - a)
    a_low = a - a_high
    scaled = 134217729.0 * b
    b_high = scaled - (scaled - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@loop
def add_row(vector, row, mean, factor):
    """Add factor (row - mean) to a double-double vector, in place; factor is a power of two."""
    for d in range(row.shape[0]):
        y, y_error = two_sum(np.float64(row[d]), -mean[d])
        total, error = two_sum(vector[0, d], factor * y)
        error += vector[1, d] + factor * y_error
        vector[0, d] = total + error
        vector[1, d] = error - (vector[0, d] - total)


@loop
def sum_rows(features, mean):
    """Sum of all centred rows as a double-double vector."""
    total = np.zeros((2, features.shape[1]))
    for i in range(features.shape[0]):
        add_row(total, features[i], mean, 1.0)
    return total


@loop
def combine(a, first, b, second):
    """a first + b second of two double-double vectors."""
    result = np.empty_like(first)
    for d in range(first.shape[1]):
        left, left_error = two_product(a, first[0, d])
        right, right_error = two_product(b, second[0, d])
        total, error = two_sum(left, right)
        error += left_error + right_error + a * first[1, d] + b * second[1, d]
        result[0, d], result[1, d] = two_sum(total, error)
    return result


@loop
def settle(features, mean, alpha, vector, rivals):
    """The one of the rows `rivals` (R,), which float64 cannot tell apart, with the largest gain.

    `vector` (2, D) is v as double-double. Ties go to the smallest index.
    """
    gains, errors, slack = np.zeros(rivals.shape[0]), np.zeros(rivals.shape[0]), 0.0
    for r in range(rivals.shape[0]):
        gains[r], errors[r], terms = precise_gain(features[rivals[r]], mean, alpha, vector)
        slack = max(slack, TIE * terms)
    best = 0
    for r in range(1, rivals.shape[0]):
        if (gains[r] - gains[best]) + (errors[r] - errors[best]) > 0.0:
            best = r
    winner = rivals[best]
    for r in range(rivals.shape[0]):
        if (gains[best] - gains[r]) + (errors[best] - errors[r]) <= slack:
            winner = min(winner, rivals[r])
    return winner


@loop
def precise_gain(row, mean, alpha, vector):
    """The gain of one row in double-double arithmetic, and the sum of the magnitudes of its terms."""
    gain, gain_error, terms = 0.0, 0.0, 0.0
    for d in range(row.shape[0]):
        # One term is y (alpha y + v).
        y, y_error = two_sum(np.float64(row[d]), -mean[d])
        scaled, scaled_error = two_product(alpha, y)
        factor, factor_error = two_sum(scaled, vector[0, d])
        factor_error += scaled_error + alpha * y_error + vector[1, d]
        term, term_error = two_product(y, factor)
        term_error += y * factor_error + y_error * factor
        terms += abs(y) * (abs(scaled) + abs(vector[0, d]))
        gain, error = two_sum(gain, term)
        gain_error += error + term_error
    gain, gain_error = two_sum(gain, gain_error)
    return gain, gain_error, terms
