# SPDX-License-Identifier: Apache-2.0
"""eval_and_generate_test.py PROGRAM RANKS: a run on RANKS ranks learns one answer by heart and gives it."""
import json

import support

ANSWER = "It is red."
STEPS = 25
QUESTIONS = 10


class EvalAndGenerate(support.ProgramTest):

    def setUp(self):
        super().setUp()
        self.ranks = int(support.ARGUMENTS[0])
        data = {"eval_file": "data/questions.json"}
        train = {"steps": STEPS, "trainable": ["projector", "blocks", "head", "embedding"]}
        self.config = self.write_config(data=data, train=train, optimizer={"learning_rate": 5e-3},
                                        checkpoint={"every_steps": 0})
        self.prepare_once(self.train)

    def train(self):
        records = support.make_records()
        for record in records:
            for turn in record["conversations"][1::2]:
                turn["value"] = ANSWER
        self.make_data(records)
        questions = records[:QUESTIONS]
        for number, record in enumerate(questions):
            record["kind"], record["chance"] = ("even", 0.5) if number % 2 == 0 else ("odd", 0.25)
        questions[3]["conversations"][1]["value"] = "It is blue."
        support.write_records(self.folder / "data" / "questions.json", questions)
        self.call("train", self.config, ranks=self.ranks)

    def test_answers(self):
        self.call("eval", self.config, "--output", "answers.jsonl", ranks=self.ranks)
        self.call("eval", self.config, "--output", "alone.jsonl")
        text = (self.folder / "answers.jsonl").read_bytes()
        self.assertEqual(text, (self.folder / "alone.jsonl").read_bytes())
        answers = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([answer["text"] for answer in answers], [ANSWER] * QUESTIONS)
        ids = [f"sample-{number}" for number in range(QUESTIONS)]
        self.assertEqual([answer["question_id"] for answer in answers], ids)

        scores = json.loads(self.call("eval", self.config, "--json", ranks=self.ranks).out)
        self.assertEqual(scores, {"benchmark": "exact", "blank_images": False, "kinds": [
            {"kind": "even", "questions": 5, "correct": 5, "accuracy": 1.0, "chance": 0.5},
            {"kind": "odd", "questions": 5, "correct": 4, "accuracy": 0.8, "chance": 0.25}]})

        table = self.call("eval", self.config, "--blank-images", "--limit", 3, ranks=self.ranks).out
        self.assertIn("blanked images", table)
        self.assertRegex(table, r"even +2 +1\.000 +0\.500")
        self.assertRegex(table, r"odd +1 +1\.000 +0\.250")
        blank = json.loads(self.call("eval", self.config, "--blank-images", "--json").out)
        self.assertEqual((blank["blank_images"], len(blank["kinds"])), (True, 2))

    def test_generate(self):
        for images in ([], support.IMAGES[:1], support.IMAGES[3:5]):
            options = [word for image in images for word in ("--image", f"data/images/{image}")]
            said = self.call("generate", "--model", "run", *options, "--prompt", "What is number 1?").out
            self.assertEqual(said, ANSWER + "\n")
        self.call("generate", "--model", "run", "--image", "data/images/none.png", "--prompt", "What?",
                  expect=support.DATA_REFUSED)


if __name__ == "__main__":
    support.main()
