#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_mixture.py OUTPUT.json [--samples N] [--seed S] [--images NAME...]: a data file like llava_v1_5_mix665k.json.

Its 665,298 samples have the published composition (LLaVA issue 702), rounds and lengths near the real ones, its layout and its
quirks: integer ids, samples without image, `<image>` as text, a few empty answers, Chinese. With fewer samples each kind keeps
its share. With --images all samples share these files instead of names of their own. The same arguments give the same bytes.
"""
import argparse
import itertools
import json
import random

SINGLE = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."
WORDS = """the a of and to in is on that it with for as are this at from by an be or have which not was can their has more two one
image man woman people person child street table white black red blue green large small left right side front back near behind under
holding standing sitting walking riding wearing looking playing eating food plate bowl cup bottle chair window building tree grass
field water sky road car bus train truck bicycle motorcycle traffic light sign clock dog cat horse bird elephant giraffe zebra bear
surfboard skateboard tennis baseball player ball game beach snow mountain kitchen room bathroom bedroom sofa television laptop
keyboard phone book flower vase pizza sandwich cake fruit banana apple orange carrot broccoli several various different scene
appears indicates suggests likely possible could would while during overall situation environment activity important because
however additionally therefore positioned surrounded background foreground visible captured moment enjoying engaging conversation
atmosphere combination presence unusual creative interesting attention experience""".split()
CHINESE = "图片中显示了一个繁忙的街角几个人正在等公共汽车左边一位穿红色外套的女士拿着雨伞两孩子喷泉附近玩耍"
MIX = (  # kind, samples
    ("talk", 57669), ("detail", 23240), ("reasoning", 76803), ("vqav2", 82783), ("okvqa", 8998), ("aokvqa", 66160),
    ("refcoco", 48447), ("gqa", 72140), ("ocrvqa", 80000), ("textcaps", 21953), ("vg", 86417), ("sharegpt", 40688))
SAMPLES = sum(count for _, count in MIX)


class Writer:
    def __init__(self, seed, images):
        self.random = random.Random(seed)
        self.images = images
        weights = [1 / (rank + 4) for rank in range(len(WORDS))]
        self.words = self.random.choices(WORDS, weights, k=1 << 18)
        self.numbers = itertools.count()

    def text(self, mean, most=1 << 16):
        """Words whose number has the given mean, with a long tail."""
        count = min(most, max(1, round(self.random.gammavariate(2.5, mean / 2.5))))
        start = self.random.randrange(len(self.words) - 1)
        words = self.words[start:start + count]
        while len(words) < count:
            words += self.words[:count - len(words)]
        for end in range(14, len(words), 15):
            words[end] += "."
        return " ".join(words).capitalize()

    def box(self):
        left, top = self.random.random() * 0.7, self.random.random() * 0.7
        return f"[{left:.2f}, {top:.2f}, {left + 0.3 * self.random.random():.2f}, {top + 0.3 * self.random.random():.2f}]"

    def rounds(self, mean, most):
        return min(most, max(1, round(self.random.gammavariate(4, mean / 4))))

    def regions(self):
        for _ in range(self.rounds(6, 10)):
            if self.random.random() < 0.5:
                yield f"Please provide a short description for this region: {self.box()}", self.text(5) + "."
            else:
                yield ("Please provide the bounding box coordinate of the region this sentence describes: "
                       + self.text(5).lower() + "."), self.box()

    def pairs(self, kind):
        """(question, answer) of each round, without image mark."""
        draw = self.random
        if kind == "talk":
            return [(self.text(10) + "?", self.text(35) + ".") for _ in range(self.rounds(3.5, 8))]
        if kind == "detail":
            return [("Can you describe the main features of this image for me?", self.text(95) + ".")]
        if kind == "reasoning":
            return [(self.text(14) + "?", self.text(100) + ".")]
        if kind in ("vqav2", "okvqa", "gqa", "ocrvqa"):
            count = 1 if kind == "okvqa" else self.rounds({"vqav2": 5.4, "gqa": 13, "ocrvqa": 5}[kind], 60)
            words = 4 if kind == "ocrvqa" else 1
            found = [[self.text(7, 25) + "?", self.text(words, 12)] for _ in range(count)]
            found[0][0] += SINGLE
            return found
        if kind == "aokvqa":
            choices = "".join(f"\n{letter}. {self.text(2, 4)}" for letter in "ABCD")
            return [(self.text(9) + "?" + choices + LETTER, draw.choice("ABCD"))]
        if kind in ("refcoco", "vg"):
            return list(self.regions())
        if kind == "textcaps":
            tokens = ", ".join(self.text(1, 2).upper() for _ in range(self.rounds(12, 60)))
            return [("Provide a one-sentence caption for the provided image.\nReference OCR token: " + tokens, self.text(12) + ".")]
        chinese = draw.random() < 0.08

        def passage(mean):
            if chinese:
                return "".join(draw.choices(CHINESE, k=max(1, round(draw.gammavariate(2, mean / 2))))) + "。"
            return "\n\n".join(self.text(mean / 3) for _ in range(3))
        return [(passage(40), passage(150)) for _ in range(self.rounds(6, 20))]

    def image(self, kind, number):
        if self.images:
            return self.images[number % len(self.images)]
        if kind in ("gqa", "ocrvqa", "textcaps", "vg"):
            folder = {"gqa": "gqa/images", "ocrvqa": "ocr_vqa/images", "textcaps": "textvqa/train_images",
                      "vg": f"vg/VG_100K{'' if number % 5 < 3 else '_2'}"}[kind]
            return f"{folder}/{number}.jpg"
        return f"coco/train2017/{self.random.randrange(118287) * 5:012d}.jpg"

    def sample(self, kind):
        number = next(self.numbers)
        pairs = self.pairs(kind)
        if kind == "sharegpt":
            record = {"id": f"share{number:07x}_0", "model": ""}
            if number % 400 == 0:
                pairs[0] = ("What does <image> mean in HTML?", pairs[0][1])
        else:
            record = {"id": number if kind == "vg" else f"{number:012d}", "image": self.image(kind, number)}
            question, answer = pairs[0]
            pairs[0] = ("<image>\n" + question, answer) if self.random.random() < 0.5 else (question + "\n<image>", answer)
            if number % 50000 == 1:
                pairs[-1] = (pairs[-1][0], "")
        record["conversations"] = [
            turn for question, answer in pairs for turn in ({"from": "human", "value": question}, {"from": "gpt", "value": answer})]
        return record


def shares(samples):
    """How many of each kind: the published numbers, scaled."""
    kinds = []
    seen = 0
    for kind, count in MIX:
        begin, seen = samples * seen // SAMPLES, seen + count
        kinds += [kind] * (samples * seen // SAMPLES - begin)
    return kinds


def write_mixture(path, samples=SAMPLES, seed=1, images=()):
    writer = Writer(seed, images)
    kinds = shares(samples)
    writer.random.shuffle(kinds)
    with open(path, "w", encoding="utf-8") as file:
        for place, kind in enumerate(kinds):
            file.write("[\n" if place == 0 else ",\n")
            file.write(json.dumps(writer.sample(kind), indent=2))
        file.write("\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", nargs="*", default=())
    arguments = parser.parse_args()
    write_mixture(arguments.output, arguments.samples, arguments.seed, arguments.images)


if __name__ == "__main__":
    main()
