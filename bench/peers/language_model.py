# SPDX-License-Identifier: Apache-2.0
"""RWKV-7's language model as one writes it in PyTorch: whole-tensor operations on (B, T, C) and one autograd graph."""

import functools

import torch
import torch.nn.functional as F

import recurrences

DECAY_SCALE = -0.6065306597126334  # -exp(-1/2)
NORM_EPSILON = 1e-5
IGNORED = -100


def shift(x):
    return F.pad(x, (0, 0, 1, -1))


def norm(x, p, name):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"], NORM_EPSILON)


def time_mix(x, v_first, p, recurrence):
    """p: the block's parameters. Returns the output and block 0's value, which later blocks mix into theirs."""
    batch, tokens, width = x.shape
    heads, channels = p["att.r_k"].shape

    def by_head(t):
        return t.view(batch, tokens, heads, channels)

    def mix(name):
        return x + difference * p["att.x_" + name]

    def low_rank(t, name, inner=lambda hidden: hidden):
        return inner(t @ p[f"att.{name}1"]) @ p[f"att.{name}2"]

    difference = shift(x) - x
    for_v = mix("v")
    r = F.linear(mix("r"), p["att.receptance.weight"])
    k = F.linear(mix("k"), p["att.key.weight"])
    v = F.linear(for_v, p["att.value.weight"])
    log_decay = DECAY_SCALE * torch.sigmoid(p["att.w0"] + low_rank(mix("w"), "w", torch.tanh))
    if v_first is None:
        v_first = v
    else:
        v = v + (v_first - v) * torch.sigmoid(p["att.v0"] + low_rank(for_v, "v"))
    rate = torch.sigmoid(p["att.a0"] + low_rank(mix("a"), "a"))
    gate = low_rank(mix("g"), "g", torch.sigmoid)
    key = F.normalize(by_head(k * p["att.k_k"]), dim=-1)
    k = k * (1 + (rate - 1) * p["att.k_a"])
    operands = (by_head(r), by_head(log_decay), by_head(k), by_head(v), -key, key * by_head(rate))
    with torch.autocast("cpu", enabled=False):
        y = recurrence(*(operand.float() for operand in operands))
    y = F.group_norm(y.reshape(-1, width), heads, p["att.ln_x.weight"], p["att.ln_x.bias"], NORM_EPSILON * 64)
    bonus = (by_head(r) * by_head(k) * p["att.r_k"]).sum(-1, keepdim=True) * by_head(v)
    y = (y.view(batch, tokens, width) + bonus.view(batch, tokens, width)) * gate
    return F.linear(y, p["att.output.weight"]), v_first


def channel_mix(x, p):
    k = F.linear(x + (shift(x) - x) * p["ffn.x_k"], p["ffn.key.weight"])
    return F.linear(F.relu(k).square(), p["ffn.value.weight"])


def block(x, v_first, p, recurrence):
    y, v_first = time_mix(norm(x, p, "ln1"), v_first, p, recurrence)
    x = x + y
    return x + channel_mix(norm(x, p, "ln2"), p), v_first


def loss_of_rows(x, p, targets, weights):
    """The weighted sum of the cross-entropies of rows x (P, C)."""
    logits = F.linear(norm(x, p, "ln_out"), p["head.weight"])
    return (F.cross_entropy(logits, targets, reduction="none", ignore_index=IGNORED) * weights).sum()


class LanguageModel:
    """The loss is the mean over the rows of each one's mean cross-entropy.

    weights: name -> tensor, "rwkv." in front. token_ids, labels: (B, T).
    Plain: a loop over tokens, logits at every position. Otherwise the best that PyTorch is known to do here: the recurrence in
    chunks, logits only where a label is, blocks and loss compiled.
    """

    def __init__(self, weights, token_ids, labels, is_plain):
        parameters = {name.removeprefix("rwkv."): tensor for name, tensor in weights.items()}
        depth = 1 + max(int(name.split(".")[1]) for name in parameters if name.startswith("blocks."))
        self.blocks = [below(parameters, f"blocks.{layer}.") for layer in range(depth)]
        self.ends = {name: tensor for name, tensor in parameters.items() if not name.startswith("blocks.")}
        self.token_ids = token_ids
        targets = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
        weights = (targets != IGNORED) / (targets != IGNORED).sum(1, keepdim=True) / len(labels)
        rows = torch.arange(targets.numel()) if is_plain else (targets.flatten() != IGNORED).nonzero().squeeze(1)
        self.rows, self.targets, self.weights = rows, targets.flatten()[rows], weights.flatten()[rows]
        self.block = functools.partial(block, recurrence=recurrences.token_loop if is_plain else recurrences.chunks)
        self.loss_of_rows = loss_of_rows
        if not is_plain:
            self.block = torch.compile(self.block, fullgraph=True, dynamic=False)
            self.loss_of_rows = torch.compile(loss_of_rows, fullgraph=True, dynamic=False)

    def loss(self):
        x = norm(F.embedding(self.token_ids, self.ends["emb.weight"]), self.blocks[0], "ln0")
        v_first = None
        for parameters in self.blocks:
            x, v_first = self.block(x, v_first, parameters)
        rows = x.flatten(0, 1) if len(self.rows) == self.token_ids.numel() else x.flatten(0, 1)[self.rows]
        return self.loss_of_rows(rows, self.ends, self.targets, self.weights)


def below(parameters, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in parameters.items() if name.startswith(prefix)}
