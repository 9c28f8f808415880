# SPDX-License-Identifier: Apache-2.0
"""data_prepare_test.py PROGRAM: `data prepare` against what the original's preparation does, where that is right."""
import copy
import json
import os
import random
import re
import signal
import sys

import support

sys.path.insert(0, str(support.SOURCE / "tests" / "support"))
import make_mixture  # noqa: E402

SENTENCE = "Answer the question using a single word or phrase."


def original(records, most_rounds, seed=None):
    """What VisualRWKV's reformat_data.py makes of the records, its defects included, written from its description: rounds without
    answer go; conversations of more rounds are cut into parts; each part's first question gets an `<image>` mark unless it
    has one, and, after the first part, the sentence if the conversation's first question has it; then a shuffle."""
    made = []
    for record in copy.deepcopy(records):
        turns = record["conversations"]
        rounds = [pair for pair in zip(turns[::2], turns[1::2]) if pair[1]["from"] == "gpt" and pair[1]["value"]]
        asks_short = bool(rounds) and SENTENCE in rounds[0][0]["value"]
        is_split = len(rounds) > most_rounds
        for first in range(0, len(rounds), most_rounds):
            part = rounds[first:first + most_rounds]
            question = part[0][0]
            if is_split and "<image>" not in question["value"]:
                question["value"] = "<image>\n" + question["value"]
            if first > 0 and asks_short:
                question["value"] += "\n" + SENTENCE
            made.append({**record, "conversations": [turn for pair in part for turn in pair]})
    if seed is not None:
        random.Random(seed).shuffle(made)
    return made


def sample(*texts, **keys):
    """A record whose texts are questions and answers in turn."""
    return {"id": "x", **keys, "conversations": [
        {"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]}


def without_part(record):
    """The record as it would be without the name of its part."""
    name = re.fullmatch(r"(.*)#\d+-\d+", str(record["id"]))
    return {**record, "id": name[1] if name else str(record["id"])}


class DataPrepare(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.input, self.output = self.folder / "in.json", self.folder / "out.json"

    def prepare(self, *options):
        """The summary, and the output's records."""
        summary = json.loads(self.call("data", "prepare", "in.json", "out.json", "--json", *options).out)
        return summary, json.loads(self.output.read_text(encoding="utf-8"))

    def prepare_records(self, *records, rounds=5):
        support.write_records(self.input, list(records))
        return self.prepare("--max-rounds", rounds)

    def write_mixture(self, samples=6000):
        """Like LLaVA's, with more answers missing, but no first ones, which the original has trouble with."""
        make_mixture.write_mixture(self.input, samples)
        records = json.loads(self.input.read_text(encoding="utf-8"))
        choose = random.Random(1)
        for record in records:
            for turn in record["conversations"][3::2]:
                if choose.random() < 0.02:
                    turn["value"] = ""
        support.write_records(self.input, records)
        return records

    # Where the original is right.

    def test_samples_are_the_originals(self):
        records = self.write_mixture()
        for rounds, shuffle in ((5, None), (5, 22), (1, 7), (20, 22), (1000, None)):
            with self.subTest(rounds=rounds, shuffle=shuffle):
                summary, prepared = self.prepare("--max-rounds", rounds, *(() if shuffle is None else ("--shuffle", shuffle)))
                expected = original(records, rounds, shuffle)
                marked_text = 0
                for record in expected:
                    if "image" in record or not record["conversations"][0]["value"].startswith("<image>\n"):
                        continue
                    question = record["conversations"][0]      # the original's defect: an image mark without an image
                    question["value"] = question["value"].removeprefix("<image>\n")
                    marked_text += 1
                self.assertEqual([without_part(record) for record in prepared], [without_part(record) for record in expected])
                self.assertEqual(marked_text > 0, rounds <= 5)
                self.assertEqual((summary["samples_in"], summary["samples_out"]), (len(records), len(expected)))
                self.assertEqual(summary["odd_samples"], 0)

    def test_counts_and_names(self):
        records = self.write_mixture(2000)
        summary, prepared = self.prepare()
        answers = [[turn["value"] for turn in record["conversations"][1::2]] for record in records]
        self.assertEqual(summary["dropped_rounds"], sum(texts.count("") for texts in answers))
        self.assertEqual(summary["dropped_samples"], sum(not any(texts) for texts in answers))
        self.assertEqual(summary["split_samples"], sum(len(texts) - texts.count("") > 5 for texts in answers))
        self.assertEqual([finding["record"] for finding in summary["findings"]],
                         [place for place, texts in enumerate(answers) if "" in texts])
        parts = [record["id"] for record in prepared if "#" in str(record["id"])]
        self.assertEqual(len(parts), len(set(parts)))
        for name in parts:
            origin, place = re.fullmatch(r"(.*)#(\d+)-\d+", name).groups()
            self.assertEqual(str(records[int(place)]["id"]), origin)
        self.assertEqual(len(self.output.read_text().splitlines()), len(prepared) + 2)

    def test_bytes_are_the_same_each_time_and_ours_again(self):
        self.write_mixture(2000)
        self.prepare("--shuffle", 22)
        first = self.output.read_bytes()
        self.prepare("--shuffle", 22)
        self.assertEqual(self.output.read_bytes(), first)
        self.output.rename(self.input)
        summary, _ = self.prepare()
        self.assertEqual(self.output.read_bytes(), first, "what is prepared needs no preparation")
        self.assertEqual((summary["split_samples"], summary["findings"]), (0, []))

    # Where it is not.

    def test_a_first_question_without_answer_leaves_image_and_sentence_behind(self):
        record = sample(f"<image>\nWhich?\n{SENTENCE}", "", "How many?", "Two", image="a.jpg")
        _, prepared = self.prepare_records(record)
        self.assertEqual(prepared, [sample(f"<image>\nHow many?\n{SENTENCE}", "Two", image="a.jpg")])
        self.assertEqual(original([record], 5), [sample("How many?", "Two", image="a.jpg")])

    def test_no_answer_is_lost_for_the_spelling_of_its_speaker(self):
        record = sample("One?", "1", "Two?", "2")
        record["conversations"][1]["from"] = "GPT"
        self.assertEqual(self.prepare_records(record)[1], [record])
        self.assertEqual(len(original([record], 5)[0]["conversations"]), 2)

    def test_an_answer_of_white_space_is_none(self):
        self.assertEqual(self.prepare_records(sample("One?", " \n", "Two?", "2", "Three?"))[1], [sample("Two?", "2")])

    def test_images_stay_with_their_marks(self):
        record = sample("<image>\nOne?", "1", "And <image>?", "2", "Both?", "3", image=["a.jpg", "b.jpg"])
        _, prepared = self.prepare_records(record, rounds=1)
        self.assertEqual([without_part(part) for part in prepared], [
            sample("<image>\nOne?", "1", image=["a.jpg"]),
            sample("<image>\nAnd <image>?", "2", image=["a.jpg", "b.jpg"]),
            sample("<image>\n<image>\nBoth?", "3", image=["a.jpg", "b.jpg"])])
        self.assertEqual([part["id"] for part in prepared], ["x#0-0", "x#0-1", "x#0-2"])

    def test_the_sentence_is_not_said_twice(self):
        record = sample(f"One? {SENTENCE}", "1", f"Two? {SENTENCE}", "2", "Three?", "3")
        _, prepared = self.prepare_records(record, rounds=1)
        self.assertEqual([part["conversations"][0]["value"] for part in prepared],
                         [f"One? {SENTENCE}", f"Two? {SENTENCE}", f"Three?\n{SENTENCE}"])
        summary, prepared = self.prepare("--max-rounds", "1", "--carry", "One", "--carry", "no such")
        self.assertEqual(prepared[2]["conversations"][0]["value"], "Three?\nOne")

    def test_what_is_odd_is_passed_on_and_named(self):
        greeting = sample("Hello", "Hi", "Bye", "Bye")
        greeting["conversations"].insert(0, {"from": "gpt", "value": "Welcome"})
        unmarked = sample("One?", "1", "Two?", "", image="a.jpg")
        summary, prepared = self.prepare_records(greeting, sample("One?", ""), unmarked, rounds=1)
        self.assertEqual(prepared, [greeting, unmarked])
        self.assertEqual([(finding["kind"], finding["record"]) for finding in summary["findings"]],
                         [("odd", 0), ("dropped_sample", 1), ("odd", 2)])
        self.assertEqual((summary["odd_samples"], summary["dropped_samples"]), (2, 1))
        lines = self.call("data", "prepare", "in.json", "out.json").out
        self.assertIn("in.json:2: sample 'x': turn 1 is by 'gpt' (human and gpt should alternate): passed on as it is\n", lines)

    # What is read next.

    def test_index_and_check_take_the_output(self):
        records = support.make_records()
        for place, record in enumerate(records):
            for number in range(place % 9):
                record["conversations"] += sample(f"And {number}?", "" if number % 4 == 3 else "So.")["conversations"]
        self.make_data(records)
        config = self.write_config(data={"file": "out.json", "context_length": 512})
        self.write_config("raw.toml")
        summary = json.loads(self.call("data", "prepare", "raw.toml", "out.json", "--max-rounds", "2", "--json").out)
        self.assertEqual(summary["samples_in"], len(records))
        self.assertGreater(summary["samples_out"], len(records))
        index = json.loads(self.call("data", "index", config, "--json").out)
        self.assertEqual((index["samples"], index["sources"][0]["bad_samples"]), (summary["samples_out"], 0))
        self.call("data", "check", config)
        report = json.loads((self.folder / "run" / "check" / "report.json").read_text())
        self.assertEqual([finding for finding in report["findings"] if finding["kind"] != "duplicate"], [])

    # What goes wrong.

    def test_refused_data_leaves_no_output(self):
        good = json.dumps(sample("One?", "1"))
        for content, place, message in (
                ("", 1, "is empty"),
                ("{}", 1, "not a JSON array of samples"),
                ("[]", None, "holds no samples"),
                (f"[{good},\n{good[:-9]}", 2, "does not end"),
                (f"[{good},\n{good}]]", 2, "something follows the end of the array"),
                (f"[{good},\n{{\"id\": 1}}]", 2, "key 'conversations' is missing"),
                (f"[{good},\n{good.replace(':', ';')}]", 2, "not valid JSON"),
                (f"[\n{'[' * 5000}{']' * 5000}]", 2, "not valid JSON"),
                (json.dumps([sample("One?", "")]), None, "no question of its 1 samples has an answer")):
            with self.subTest(content=content[:40]):
                self.input.write_text(content)
                result = self.call("data", "prepare", "in.json", "out.json", expect=support.DATA_REFUSED)
                self.assertIn("in.json:" if place is None else f"in.json:{place}: ", result.err)
                self.assertIn(message, result.err)
                self.assertEqual(list(self.folder.glob("out.json*")), [])

    def test_wrong_usage(self):
        support.write_records(self.input, [sample("One?", "1")])
        before = self.input.read_bytes()
        two = self.folder / "two.toml"
        two.write_text(re.sub(r'(?m)^file = .*\nimage_folder = .*\n', "", self.write_config().read_text())
                       + '[[data.source]]\nfile = "a.json"\n[[data.source]]\nfile = "b.json"\n')
        (self.folder / "same.json").symlink_to("in.json")
        for arguments in (("in.json",), ("in.json", "in.json"), ("in.json", "same.json"), ("two.toml", "out.json"),
                          ("in.json", "out.json", "--max-rounds", "0"), ("in.json", "out.json", "--shuffle", "-1"),
                          ("in.json", "out.json", "--carry", "")):
            with self.subTest(arguments=arguments):
                self.call("data", "prepare", *arguments, expect=support.USAGE)
        # What is written first has another name, and must not be the input either.
        (self.folder / "linked.json.partial").symlink_to("in.json")
        (self.folder / "again.json.partial").hardlink_to(self.input)
        for source, output in (("again.json.partial", "again.json"), ("in.json", "linked.json")):
            with self.subTest(source=source):
                result = self.call("data", "prepare", source, output, expect=support.USAGE)
                self.assertIn(f"{output}.partial: is the input itself", result.err)
                self.assertFalse((self.folder / output).exists())
        self.assertEqual(self.input.read_bytes(), before)
        self.assertFalse(self.output.exists())
        config = self.write_config("only.toml", data={"file": "in.json"})
        text = config.read_text()
        self.assertIn("is the input itself", self.call("data", "prepare", config, config, expect=support.USAGE).err)
        self.assertEqual(config.read_text(), text)
        os.mkfifo(self.folder / "pipe")
        self.assertIn("is no file", self.call("data", "prepare", "in.json", "pipe", expect=support.FAILED).err)
        self.assertTrue((self.folder / "pipe").is_fifo())
        self.assertIn("is a pipe", self.call("data", "prepare", "pipe", "out.json", expect=support.DATA_REFUSED).err)
        self.call("data", "prepare", "absent.json", "out.json", expect=support.DATA_REFUSED)

    def test_a_kill_leaves_the_old_output(self):
        self.write_mixture()
        self.prepare()
        whole = self.output.read_bytes()
        self.output.write_text("old")
        half = len(whole) // 2
        job = support.processes.Job(["prlimit", f"--fsize={half}", "--core=0", support.PROGRAM, "data", "prepare",
                                     "in.json", "out.json"], self.folder)
        self.jobs.append(job)
        self.assertEqual(job.wait().code, -signal.SIGXFSZ, job)    # the system's, at the byte that was one too many
        self.assertEqual((self.folder / "out.json.partial").stat().st_size, half)
        self.assertEqual(self.output.read_text(), "old")
        self.prepare()
        self.assertEqual(self.output.read_bytes(), whole)
        self.assertFalse((self.folder / "out.json.partial").exists())

    def test_a_full_disk_leaves_the_old_output(self):
        support.write_records(self.input, [sample("One?", "1")])
        self.output.write_text("old")
        (self.folder / "out.json.partial").symlink_to("/dev/full")
        result = self.call("data", "prepare", "in.json", "out.json", expect=support.FAILED)
        self.assertIn("out.json.partial: cannot be written (No space left on device)", result.err)
        self.assertEqual(self.output.read_text(), "old")


if __name__ == "__main__":
    support.main()
