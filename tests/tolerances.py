"""Every tolerance of the tests, with its reason."""

# The original's golden arrays, float32 on another machine and TensorFlow: outputs agree to 1e-4
# absolute, covariances and the bound to 1e-3 relative (its own run-to-run figures are of that
# size).
GOLDEN = dict(rtol=0, atol=1e-4)
GOLDEN_COVARIANCE = dict(rtol=1e-3, atol=1e-4)
GOLDEN_BOUND = dict(rtol=1e-3, atol=1e-3)

# Two float64 algorithms for the same quantity: rounding, amplified by the condition of the
# covariances (about 1e3).
FLOAT64 = dict(rtol=1e-8, atol=1e-8)

# Two float32 algorithms for the same quantity: 2**-23 times the largest covariance (20) times the
# condition.
FLOAT32 = dict(rtol=1e-3, atol=1e-3)

# Central differences in float64 with a step of 1e-5: truncation 1e-10 and rounding 1e-11, relative
# to terms of size 1e2.
FINITE_DIFFERENCES = dict(rtol=1e-5, atol=1e-6)

# A mean of Monte-Carlo samples: within 6 standard errors, which a right program exceeds once in 5e8
# runs.
STANDARD_ERRORS = 6.0

# The same operations in another order (batches, compiled or not): a few units in the last place of
# float32.
SAME_FLOAT32 = dict(rtol=2e-5, atol=2e-5)

# The float32 filter and smoother against float64 at the same inputs, noises from 1e-6 to 1e3. A
# mean: in its standard deviations (.005 was seen), beside some units in the last place of its
# largest state. A variance: relative (.005).
# A gradient: over its sequence's largest number (.02, where 1e-6 meets 1e3; a median of 3e-7).
MEAN_IN_DEVIATIONS, MEAN_OF_LARGEST = 0.02, 2e-6
VARIANCE_RELATIVE = 0.02
GRADIENT_RELATIVE = 0.1

# pymunk integrates in float64; the state is recorded in float32.
PHYSICS = dict(rtol=1e-5, atol=1e-4)

# A covariance stored in float32: its rounding alone moves the least eigenvalue by 2**-24 times the
# greatest, times the size.
POSITIVE_DEFINITE = 1e-6

# World Models, float32 against the original's float32 on another machine: some times what float32
# against float64 showed for each quantity (codes 3e-6, pixels 2e-6, losses 2e-7 relative, outputs
# and states of the MDN-RNN 9e-6, gradients 4e-6 of the largest). After three steps of an optimiser
# that divides by the gradient's size, a tiny gradient of either sign moves a weight by up to three
# learning rates. Of most weights, 7e-6 was the largest difference seen on three kinds of
# processors.
WM_CODES = dict(rtol=0, atol=2e-5)
WM_PIXELS = dict(rtol=0, atol=1e-5)
WM_LOSS = dict(rtol=1e-5)
WM_RNN = dict(rtol=0, atol=5e-5)
WM_GRADIENT = 1e-4
WM_WEIGHTS_MOST, WM_WEIGHTS_MAX = 2e-5, 6e-4

# VAME in float64, ours against PyTorch's float64: the same operations in another order. Its train()
# ran in float32.
VAME = dict(rtol=1e-10, atol=1e-11)
VAME_FLOAT32 = dict(rtol=1e-5, atol=2e-5)

# One replica or several: the same sums in another order, over 20 steps. In float32 3e-7 of the
# largest was seen; numbers near 0 are compared with weights of about 1.
REPLICAS = dict(rtol=1e-6, atol=1e-6)

# Three SGD steps of World Models in bfloat16 (8 bits) or float16 layers: the moves of all weights
# together, relative to their norm in float32. A rounding error of 2**-8 an operation, some
# operations deep.
MIXED_STEPS = 0.05

# The same training steps with float32 or 16-bit layers (2**-8 of rounding in bfloat16), how far the
# weights moved: a few roundings of the largest movements, about 0.1.
MIXED = dict(rtol=0.05, atol=2e-3)
