# SPDX-License-Identifier: Apache-2.0
"""The WKV-7 recurrence in plain PyTorch, as a loop over tokens and over chunks of tokens; autograd makes the gradients.

r, k, v, a, b and log_decay are (B, T, H, N); so is the result. The state, (B, H, value, key), starts at zero:

    S_t = S_{t-1} (diag(exp(log_decay_t)) + a_t b_t^T) + v_t k_t^T        y_t = S_t r_t
"""

import torch


def token_loop(r, log_decay, k, v, a, b):
    """unbind, not indexing: the backward of x[:, t] writes a whole gradient for every token."""
    batch, _, heads, channels = r.shape
    state = r.new_zeros(batch, heads, channels, channels)
    y = []
    tokens = zip(r.unbind(1), log_decay.exp().unbind(1), k.unbind(1), v.unbind(1), a.unbind(1), b.unbind(1))
    for r_t, decay_t, k_t, v_t, a_t, b_t in tokens:
        state_a = state @ a_t.unsqueeze(-1)
        state = torch.addcmul(state * decay_t.unsqueeze(-2), state_a, b_t.unsqueeze(-2))
        state = torch.addcmul(state, v_t.unsqueeze(-1), k_t.unsqueeze(-2))
        y.append((state @ r_t.unsqueeze(-1)).squeeze(-1))
    return torch.stack(y, 1)


def chunks(r, log_decay, k, v, a, b, size=32):
    """Matrix products over chunks of `size` tokens, a power of two that divides T; only the state waits for the chunk before.

    Unrolled over a chunk that begins with the state S, with P the product of its decays so far, the rows
    u_t = S_{t-1} a_t solve (1 - L) U = alpha S^T + M V, L and M being the strictly lower triangles of alpha beta^T and
    alpha kappa^T, where alpha_t = a_t P_{t-1}, beta = b / P, kappa = k / P, rho = r P. A decay is at least 0.545, so that P
    stays within fp32 for 64 tokens.
    """
    batch, tokens, heads, channels = r.shape

    def by_chunk(x):  # (B H, chunks, size, N)
        return x.view(batch, tokens // size, size, heads, channels).permute(0, 3, 1, 2, 4).flatten(0, 1)

    r, log_decay, k, v, a, b = (by_chunk(x) for x in (r, log_decay, k, v, a, b))
    log_product = log_decay.cumsum(-2)
    product, inverse = log_product.exp(), (-log_product).exp()
    whole = product[..., -1:, :]
    alpha, rho = a * (log_product - log_decay).exp(), r * product
    beta, kappa = b * inverse, k * inverse

    scores = torch.cat([alpha, rho], -2) @ torch.cat([beta, kappa], -2).mT
    strict = torch.ones(size, size, dtype=torch.bool, device=r.device).tril(-1)
    upto = strict.logical_not().mT
    power = scores[..., :size, :size] * strict
    of_values = scores[..., :size, size:] * strict
    of_u, of_v = scores[..., size:, :size] * upto, scores[..., size:, size:] * upto

    # (1 - L)^-1 = (1 + L)(1 + L^2)(1 + L^4)...; L^size is zero.
    solution = torch.eye(size, device=r.device) + power
    for _ in range(size.bit_length() - 2):
        power = power @ power
        solution = solution + solution @ power
    from_state, from_values = solution @ alpha, solution @ (of_values @ v)

    # What a chunk makes of the state: S -> S transition + addition.
    beta, kappa = beta * whole, kappa * whole
    transition = torch.diag_embed(whole.squeeze(-2)) + from_state.mT @ beta
    addition = from_values.mT @ beta + v.mT @ kappa
    state = torch.zeros_like(addition[:, 0])
    states = []
    for step, added in zip(transition.unbind(1), addition.unbind(1)):
        states.append(state)
        state = torch.baddbmm(added, state, step)
    before = torch.stack(states, 1).mT
    y = rho @ before + of_u @ (from_state @ before + from_values) + of_v @ v
    return y.view(batch, heads, tokens, channels).transpose(1, 2)
