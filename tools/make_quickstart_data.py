#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the quick start's image-instruction data from two small free collections.

    tools/make_quickstart_data.py --cards DIR --digits FILE.csv.gz --output DIR

--cards    the folder of Debian's openclipart-png that holds the decks simple, white, bordered and ornamental
--digits   scikit-learn's copy of UCI's optical digits: per line 64 grey levels of 0..16 and the digit
--output   gets stage1.json, stage1-heldout.json, stage2.json, stage2-heldout.json, images/ and LICENSES.md

Stage 1 captions playing cards; stage 2 asks about digits, cards and pairs of digits, with some text-only samples. The
files have LLaVA's form. Held-out files share no image with the training files; their records also carry "kind" and
"chance", the share of exact answers that a model reaches without looking: answers are balanced so that this is true.
The same sources give the same bytes. The folder appears only when it is complete, and is left alone when it is.
"""
import argparse
import gzip
import hashlib
import json
import os
import pathlib
import random
import shutil
import tempfile

import numpy
from PIL import Image

SEED = 20230424
TRAINING_DECKS = ("simple", "white", "bordered")
HELD_OUT_DECK = "ornamental"
CARD_SIZE = (48, 64)
CARD_VARIANTS = 12         # shifted, noisy copies of each training card
DIGIT_SIZE = (32, 32)
TRAINING_DIGITS = 1437     # the first ones of 1,797; the others are held out

SUITS = {"c": "clubs", "d": "diamonds", "h": "hearts", "s": "spades"}
RANKS = {"2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine",
         "10": "ten", "j": "jack", "q": "queen", "k": "king", "a": "ace"}
DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# The instructions of LLaVA's first stage, and the suffixes of its second.
DESCRIBE = (
    "Describe the image concisely.",
    "Provide a brief description of the given image.",
    "Offer a succinct explanation of the picture presented.",
    "Summarize the visual content of the image.",
    "Give a short and clear explanation of the subsequent image.",
    "Share a concise interpretation of the image provided.",
    "Present a compact description of the photo's key features.",
    "Relay a brief, clear account of the picture shown.",
    "Render a clear and concise summary of the photo.",
    "Write a terse but informative summary of the picture.",
    "Create a compact narrative representing the image presented.",
)
SINGLE_WORD = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."

CHANCE = {"caption": 1 / 52, "digit": 1 / 10, "parity": 1 / 2, "greater": 1 / 2, "presence": 1 / 2, "letter": 1 / 4,
          "suit": 1 / 4, "rank": 1 / 13, "colour": 1 / 2, "card-presence": 1 / 2, "pair": 1 / 2}
# Questions of each kind. The plain digit question leads, because it is the one the quick start must learn.
TRAINING_QUESTIONS = {"digit": 5748, "parity": 900, "greater": 700, "presence": 900, "letter": 500, "suit": 300,
                      "rank": 300, "colour": 200, "card-presence": 300, "pair": 300, "text": 640}
HELD_OUT_QUESTIONS = {"digit": 240, "parity": 40, "greater": 40, "presence": 40, "letter": 40, "suit": 20, "rank": 26,
                      "colour": 20, "card-presence": 20, "pair": 20}

LICENSES = """# Where these images come from

- `images/cards/`: the decks simple, white, bordered and ornamental of the Open Clip Art Library by Nicu Buculei, in
  Debian's package openclipart-png. Dedicated to the public domain. Scaled, shifted and given noise here.
- `images/digits/`: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak (1998), UCI Machine Learning
  Repository, licensed under CC BY 4.0, as distributed with scikit-learn (BSD-3-Clause). Scaled from 8 x 8 here.

The questions and captions were written by tools/make_quickstart_data.py (Apache-2.0).
"""


class Card:
    """One picture of a playing card; `file` is relative to the image folder."""

    def __init__(self, file, rank, suit):
        self.file, self.rank, self.suit = file, rank, suit
        self.caption = f"The {rank} of {suit}."
        self.colour = "Red" if suit in ("diamonds", "hearts") else "Black"


class Digit:
    """One scan of a handwritten digit; `file` is relative to the image folder."""

    def __init__(self, file, value):
        self.file, self.value = file, value


def with_article(noun):
    return f"{'an' if noun in ('eight', 'ace') else 'a'} {noun}"


def flatten(path):
    """Opens a picture and puts it on white paper."""
    picture = Image.open(path).convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    return paper.convert("RGB").resize(CARD_SIZE, Image.BICUBIC)


def vary(card, noise):
    """Moves a picture by at most one pixel each way, with white coming in, and adds a little noise."""
    shift_x, shift_y = noise.randint(-1, 2, size=2)
    moved = Image.new("RGB", card.size, "white")
    moved.paste(card, (int(shift_x), int(shift_y)))
    pixels = numpy.asarray(moved, dtype=numpy.int16) + noise.randint(-6, 7, size=(card.size[1], card.size[0], 3))
    return Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8))


def make_cards(source, decks, variants, images, noise):
    """Writes `variants` JPEG files of every card of the decks."""
    cards = []
    for deck in decks:
        for suit_code, suit in SUITS.items():
            for rank_code, rank in RANKS.items():
                original = flatten(source / deck / f"{deck}_{suit_code}_{rank_code}.png")
                for variant in range(variants):
                    file = f"cards/{deck}/{rank}_of_{suit}_{variant:02d}.jpg"
                    target = images / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    vary(original, noise).save(target, "JPEG", quality=90)
                    cards.append(Card(file, rank, suit))
    return cards


def make_digits(source, images):
    """Writes every scan as a grey PNG file."""
    (images / "digits").mkdir(parents=True, exist_ok=True)
    digits = []
    with gzip.open(source, "rt", encoding="ascii") as lines:
        for number, line in enumerate(lines):
            *levels, value = (int(field) for field in line.split(","))
            grey = numpy.array(levels, dtype=numpy.uint16).reshape(8, 8) * 255 // 16
            file = f"digits/{number:04d}.png"
            picture = Image.fromarray(grey.astype(numpy.uint8)).resize(DIGIT_SIZE, Image.BICUBIC)
            picture.save(images / file, "PNG")
            digits.append(Digit(file, value))
    return digits


def balanced(items, key, count, dice):
    """`count` of the items in random order, the values of `key` in equal shares, each item as seldom as possible."""
    groups = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    chosen = []
    for place, value in enumerate(sorted(groups)):
        share = count // len(groups) + (place < count % len(groups))
        group = groups[value]
        while share > 0:
            chosen += dice.sample(group, min(share, len(group)))
            share -= min(share, len(group))
    dice.shuffle(chosen)
    return chosen


def ask_yes_no(place, truth, names, dice, question):
    """Every second question names what is there, the others something else that is not."""
    if place % 2 == 0:
        return question(truth), "Yes"
    return question(dice.choice([name for name in names if name != truth])), "No"


def ask_letter(value, place, dice):
    """Four digits to choose from, the right one at each letter equally often."""
    options = dice.sample([other for other in range(10) if other != value], 4)
    options[place % 4] = value
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options))
    return f"Which digit is this?\n{lines}", "ABCD"[place % 4]


def digit_questions(kind, count, digits, dice):
    """Yields (files, question, suffix, answer) about single digits."""
    key = {"parity": lambda digit: digit.value % 2, "greater": lambda digit: digit.value > 4}
    for place, digit in enumerate(balanced(digits, key.get(kind, lambda item: item.value), count, dice)):
        suffix = LETTER if kind == "letter" else SINGLE_WORD
        if kind == "digit":
            question, answer = "Which digit is this?", str(digit.value)
        elif kind == "parity":
            question, answer = "Is this digit even or odd?", ("Even", "Odd")[digit.value % 2]
        elif kind == "greater":
            question, answer = "Is this digit greater than four?", "Yes" if digit.value > 4 else "No"
        elif kind == "presence":
            question, answer = ask_yes_no(place, DIGIT_NAMES[digit.value], DIGIT_NAMES, dice,
                                          lambda name: f"Is there {with_article(name)} in the image?")
        else:
            question, answer = ask_letter(digit.value, place, dice)
        yield [digit.file], question, suffix, answer


def card_questions(kind, count, cards, dice):
    """Yields (files, question, suffix, answer) about single cards."""
    key = {"suit": lambda card: card.suit, "colour": lambda card: card.colour}
    for place, card in enumerate(balanced(cards, key.get(kind, lambda item: item.rank), count, dice)):
        if kind == "suit":
            question, answer = "What is the suit of this card?", card.suit.capitalize()
        elif kind == "rank":
            question, answer = "What is the rank of this card?", card.rank.capitalize()
        elif kind == "colour":
            question, answer = "Is this card red or black?", card.colour
        else:
            question, answer = ask_yes_no(place, card.rank, list(RANKS.values()), dice,
                                          lambda name: f"Is this card {with_article(name)}?")
        yield [card.file], question, SINGLE_WORD, answer


def pair_questions(count, digits, dice):
    """Yields (files, question, suffix, answer) about two digits, the larger one in either place equally often."""
    for place in range(count):
        small, large = sorted(dice.sample(digits, 2), key=lambda digit: digit.value)
        while small.value == large.value:
            small, large = sorted(dice.sample(digits, 2), key=lambda digit: digit.value)
        first, second = (large, small) if place % 2 == 0 else (small, large)
        yield ([first.file, second.file], "Which image shows the larger digit, the first or the second?", SINGLE_WORD,
               "First" if place % 2 == 0 else "Second")


def text_questions(count, dice):
    """Yields (files, question, suffix, answer) that need no image."""
    for place in range(count):
        if place % 4 == 3:
            day = dice.randrange(7)
            question, answer = f"Which day comes after {WEEK[day]}?", WEEK[(day + 1) % 7]
        elif place % 4 == 2:
            word = dice.choice(list(SUITS.values()) + list(RANKS.values()))
            question, answer = f"How many letters are in the word {word}?", str(len(word))
        else:
            one, other = dice.randrange(10), dice.randrange(10)
            question, answer = f"What is {DIGIT_NAMES[one]} plus {DIGIT_NAMES[other]}?", str(one + other)
        yield [], question, SINGLE_WORD, answer


def record(identifier, files, human, answer, kind, held_out):
    """One sample in LLaVA's form; the kind and its chance are told of held-out samples only."""
    sample = {"id": identifier}
    if files:
        sample["image"] = files[0] if len(files) == 1 else files
    sample["conversations"] = [{"from": "human", "value": human}, {"from": "gpt", "value": answer}]
    if held_out:
        sample["kind"], sample["chance"] = kind, round(CHANCE[kind], 6)
    return sample


def place_marks(files, text, dice):
    """Puts one image mark per file before or after the text, as LLaVA does."""
    if not files:
        return text
    marks = "\n".join(["<image>"] * len(files))
    return f"{marks}\n{text}" if dice.random() < 0.5 else f"{text}\n{marks}"


def make_captions(cards, held_out, dice):
    samples = []
    for number, card in enumerate(dice.sample(cards, len(cards))):
        human = place_marks([card.file], dice.choice(DESCRIBE), dice)
        samples.append(record(f"caption-{number:05d}", [card.file], human, card.caption, "caption", held_out))
    return samples


def make_questions(amounts, cards, digits, held_out, dice):
    samples = []
    for kind, count in amounts.items():
        if kind == "pair":
            asked = pair_questions(count, digits, dice)
        elif kind == "text":
            asked = text_questions(count, dice)
        elif kind in ("suit", "rank", "colour", "card-presence"):
            asked = card_questions(kind, count, cards, dice)
        else:
            asked = digit_questions(kind, count, digits, dice)
        for number, (files, question, suffix, answer) in enumerate(asked):
            human = place_marks(files, f"{question}\n{suffix}", dice)
            samples.append(record(f"{kind}-{number:05d}", files, human, answer, kind, held_out))
    dice.shuffle(samples)
    return samples


def write_all(cards_folder, digits_file, folder):
    """Fills `folder` with everything."""
    dice, noise = random.Random(SEED), numpy.random.RandomState(SEED)
    images = folder / "images"
    training_cards = make_cards(cards_folder, TRAINING_DECKS, CARD_VARIANTS, images, noise)
    held_out_cards = make_cards(cards_folder, (HELD_OUT_DECK,), 1, images, noise)
    digits = make_digits(digits_file, images)
    training_digits, held_out_digits = digits[:TRAINING_DIGITS], digits[TRAINING_DIGITS:]
    files = {
        "stage1.json": make_captions(training_cards, False, dice),
        "stage1-heldout.json": make_captions(held_out_cards, True, dice),
        "stage2.json": make_questions(TRAINING_QUESTIONS, training_cards, training_digits, False, dice),
        "stage2-heldout.json": make_questions(HELD_OUT_QUESTIONS, held_out_cards, held_out_digits, True, dice),
    }
    for name, samples in files.items():
        lines = ",\n".join(json.dumps(sample) for sample in samples)
        (folder / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    (folder / "LICENSES.md").write_text(LICENSES, encoding="utf-8")
    return {name: len(samples) for name, samples in files.items()}


def fingerprint(digits_file):
    """Changes when this script or the digits change, so that old data is made anew."""
    sources = pathlib.Path(__file__).read_bytes() + digits_file.read_bytes()
    return hashlib.sha256(sources).hexdigest() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ("--cards", "--digits", "--output"):
        parser.add_argument(option, type=pathlib.Path, required=True)
    options = parser.parse_args()
    for deck in TRAINING_DECKS + (HELD_OUT_DECK,):
        if not (options.cards / deck).is_dir():
            parser.error(f"{options.cards}: has no deck '{deck}'. Install Debian's openclipart-png (tools/setup.sh does).")
    if not options.digits.is_file():
        parser.error(f"{options.digits}: is missing. Run tools/setup.sh.")

    stamp = options.output / ".made-from"
    expected = fingerprint(options.digits)
    if stamp.is_file() and stamp.read_text(encoding="ascii") == expected:
        print(f"{options.output}: is complete, nothing to do")
        return
    if options.output.exists() and not stamp.is_file():
        parser.error(f"{options.output}: exists but was not made by this program. Choose another folder.")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=f"{options.output.name}.partial-", dir=options.output.parent))
    try:
        partial.chmod(0o755)
        counts = write_all(options.cards, options.digits, partial)
        (partial / stamp.name).write_text(expected, encoding="ascii")
        shutil.rmtree(options.output, ignore_errors=True)
        os.rename(partial, options.output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{options.output}: " + ", ".join(f"{name} {count} samples" for name, count in counts.items()))


if __name__ == "__main__":
    main()
