#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Says what the quick start learned, against chance, from the answers that `vrwkv-dist eval --output` wrote.

    tools/quickstart_summary.py CAPTIONS.jsonl ANSWERS.jsonl BLANK.jsonl

BLANK holds the answers to the same questions with every image turned grey: what text alone gives away. Exits 1 when
captions or digits were not learned, or when the blind model names digits better than chance allows.
"""
import json
import math
import sys

REQUIRED = {"caption": 0.6, "digit": 0.5}    # share of exact answers
BLIND_DEVIATIONS = 4                         # how far above chance a blind score may lie, in standard deviations


def scores(path):
    """kind -> (questions, share right, chance)."""
    kinds = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            answer = json.loads(line)["metadata"]
            kinds.setdefault(answer["kind"], []).append((answer["correct"], answer["chance"]))
    return {kind: (len(rows), sum(right for right, _ in rows) / len(rows), sum(chance for _, chance in rows) / len(rows))
            for kind, rows in kinds.items()}


def main(captions, answers, blank):
    seen = {**scores(captions), **scores(answers)}
    blind = scores(blank)
    problems = []
    print(f"{'question':<16}{'asked':>7}{'right':>8}{'chance':>8}{'blind':>8}")
    for kind, (questions, right, chance) in seen.items():
        unseen = f"{blind[kind][1]:8.2f}" if kind in blind else f"{'':>8}"
        print(f"{kind:<16}{questions:>7}{right:>8.2f}{chance:>8.2f}{unseen}")
        if right < REQUIRED.get(kind, 0):
            problems.append(f"{kind}: {right:.2f} right, expected at least {REQUIRED[kind]:.2f}")
    questions, right, chance = blind["digit"]
    if right > chance + BLIND_DEVIATIONS * math.sqrt(chance * (1 - chance) / questions):
        problems.append(f"digit: {right:.2f} right without seeing the image, where chance is {chance:.2f}")
    for problem in problems:
        print("NOT LEARNED:", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
